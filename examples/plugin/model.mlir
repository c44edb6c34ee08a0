// A classifier of edges that knows no border: each feature map minus itself, moved by a pixel round the image, bounded,
// and a smooth maximum of each column.
moe.model @rolled<classes = 10, channels = 1, size = 28, maps = 8>(%image: image[channels, size, size]) {
  %maps   = conv @features(%image) kernel = 5, pad = 2, no_bias to maps
  %moved  = extra.roll %maps by = 1
  %edges  = sub %maps, %moved
  %soft   = extra.softsign %edges
  %peaks  = extra.log_sum_exp %soft axis = 1
  %flat   = flatten %peaks
  %logits = linear @head(%flat) to classes
  return logits = %logits
}
