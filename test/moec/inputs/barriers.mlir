moe.model @net<n0 = 4, n4 = 5, n12 = 5>(%image: image[1, n0, 9]) {
  default linear trunc_normal(0.2), zeros
  %v2 = conv @c1(%image) kernel = 7 mod 2, stride = 2 to n0 + 4
  %v5 = conv @c3(%v2) pad = 1, kernel = n0 / 4, no_bias to n4
  %v6 = conv shared @c3(%v2) pad = 1, kernel = n0 / 4, no_bias to n4
  %v7 = tanh %v5
  %v8 = sigmoid %v7
  %v9 = log %v8
  %v10 = slice %v9 start = n4 - 2, size = 1, axis = 0, step = 3
  %v13 = group_norm @g11(%v6) groups = n12, eps = 1e-3
  %v15 = layer_norm @n14(%v10) eps = 1e-3
  %v16 = mean %v15
  %v17 = tanh %v16
  aux @loss18 %v17, ramp(0.20, 1.16)
  %v19 = mean %v13 over [1, 2]
  %v20 = reshape %v16 to [1]
  %v21 = concat %v19, %v20
  %v22 = linear @head(%v21) to n4 + 4
  return logits = %v22, out23 = %v21
}

