moe.layer @Mlp<dim>(%x) {
  yield %x
}
