// A convolution of circular shifts: each feature map is moved by a pixel each way and taken away from itself, so that no
// border is special; a smooth maximum over the pixels makes one number of each map.
moe.model @rolled<classes = 10, channels = 1, size = 28, maps = 8>(%image: image[channels, size, size]) {
  %maps    = conv @features(%image) kernel = 3, pad = 1 to maps
  %right   = extra.roll %maps by = 1
  %down    = extra.roll %maps by = 1 - size, axis = 1
  %edges   = sub %right, %down
  %rows    = extra.log_sum_exp %edges axis = 1
  %peaks   = extra.log_sum_exp %rows
  %logits  = linear @head(%peaks) to classes
  return logits = %logits
}
