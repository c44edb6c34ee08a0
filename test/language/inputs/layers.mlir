// Layers that models in other files name.
moe.layer @Mlp<dim>(%x) {
  %h = linear @fc1(%x) to 4 * dim
  %a = gelu %h
  %y = linear @fc2(%a) to dim
  yield %y
}
