moe.model @net(%v: vector[8]) {
  %a = linear @a(%v) to
  %b = linear @b(%a) to 4
  %c = take %v token = 3
  %d = linear shared @a(%b) to 4
  return logits = %d
}
