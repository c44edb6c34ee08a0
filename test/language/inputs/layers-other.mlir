moe.layer @Mlp<dim, hidden>(%x) {
  yield %x
}
