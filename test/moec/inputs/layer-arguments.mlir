// Layer parameters with arguments of their own, some of which name sizes of the model, and layers that take layers.
moe.layer @Small<classes>(%x) {
  %y = linear @fc(%x) to classes
  yield %y
}
moe.layer @Mlp<to, drop: number = 0.0>(%x) {
  %h = linear @fc(%x) to to
  %k = dropout %h, drop
  yield %k
}
moe.layer @Deep<classes, hidden = 64, @inner = @Mlp<16>>(%x) {
  %h = linear @fc1(%x) to hidden
  %a = relu %h
  %i = apply @inner(%a) layer @inner
  %y = linear @fc2(%i) to classes
  yield %y
}
moe.model @net<classes = 7, width = 24, @mid = @Mlp<width + 8>, @head = @Small>(%image: image[1, 28, 28]) {
  %pixels = flatten %image
  %middle = apply @mid(%pixels) layer @mid
  %logits = apply @head(%middle) layer @head<classes = classes>
  return logits = %logits
}
