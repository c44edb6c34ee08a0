" Comments and indentation of the model language.
setlocal commentstring=//\ %s comments=:// shiftwidth=2 expandtab
let b:undo_ftplugin = 'setlocal commentstring< comments< shiftwidth< expandtab<'
