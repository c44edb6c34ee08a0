// A select behind a view of a plugin's: what it does not choose has the gradient 0, although the root's slope is infinite.
moe.model @chosen<classes = 4>(%x: vector[4]) {
  %p = param @p [4] zeros
  %r = sqrt %p
  %a = mul %r, %x
  %m = extra.roll %a by = 1, axis = 0
  %z = sub %x, %x
  %w = where %z, %m, %x
  %logits = add %w, %p
  return logits = %logits
}
