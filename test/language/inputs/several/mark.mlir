moe.layer @Mlp<hidden>(%x) {
  %up  = linear @
  %act = gelu %up
  yield %act
}

moe.model @net(%v: vector[8]) {
  %a      = apply @a(%v) layer @
  %logits = linear @fc(%a) to 4
  return
}
