// A model with a layer as parameter.
moe.layer @Small<classes>(%x) {
  %y = linear @fc(%x) to classes
  yield %y
}
moe.layer @Deep<classes>(%x) {
  %h = linear @fc1(%x) to 8
  %y = linear @fc2(%h) to classes
  yield %y
}
moe.model @heads<classes = 3, @head = @Small<classes>>(%x: vector[4]) {
  %y = apply @head(%x) layer @head
  return logits = %y
}
