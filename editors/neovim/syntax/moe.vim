" Highlighting of the model language; written by editors/words.py.
if exists('b:current_syntax')
  finish
endif
syntax case match
syntax iskeyword @,48-57,_,$,.
syntax match moeComment '//.*$' contains=@Spell
syntax match moeString '"\([^"\\]\|\\.\)*"'
syntax match moeValue '%[A-Za-z0-9_.$-]\+\(#\d\+\)\?'
syntax match moeName '@\([A-Za-z0-9_.$]\+\|"[^"]*"\)'
syntax match moeLayer '@[A-Z][A-Za-z0-9_.$]*'
syntax match moeNumber '\<\d\+\(\.\d\+\)\?\(e-\?\d\+\)\?\>'
syntax keyword moeTop moe.layer moe.model moe.objective
syntax keyword moeStructure apply assign aux chain default entry experts expose hyper return update yield
syntax keyword moeOp abs add attend attention bernoulli call clamp combine concat conv counts cross_entropy dispatch div dropout exp flatten gelu group_norm layer_norm layer_scale linear log matmul max max_pool mean mean_pool mul neg normalize param patches prepend relu reshape residual reverse_gradient route select sigmoid sign silu slice softmax sqrt state stop_gradient sub sum switch take tanh transpose unfold uniform variance where
syntax keyword moeOption alignment axis capacity choose count drop_path eps groups heads kernel keys kind min no_bias no_qkv_bias noise pad prescore prioritized proj scale select_bias size start step stride token top unnormalized unscaled
syntax keyword moeKeyword at by for from frozen init layer layers mod over ramp reset_at shared to trunk weights when with
syntax keyword moeWord balance_kl constant corrected cosine dann deviation distance domain domains entropy fan_in features gshard hyperfan_in image importance_load label normal number ones pixels rows tokens torch trunc_normal vector z_loss zeros
highlight default link moeComment Comment
highlight default link moeString String
highlight default link moeValue Identifier
highlight default link moeName Label
highlight default link moeLayer Type
highlight default link moeNumber Number
highlight default link moeTop Structure
highlight default link moeStructure Statement
highlight default link moeOp Function
highlight default link moeOption Special
highlight default link moeKeyword Keyword
highlight default link moeWord Constant
let b:current_syntax = 'moe'
