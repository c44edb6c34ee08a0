-- Run by test/lsp/neovim.test in a headless Neovim, with the folder of a model as its argument: the snippet of editors/neovim starts
-- the server, and the editor has diagnostics, a hover, completion, renaming and formatting. Ends with status 1 where one is missing.
local folder, root = vim.env.MODELS, vim.env.ROOT
vim.opt.runtimepath:append(root .. '/editors/neovim')
vim.cmd('filetype plugin on')
vim.cmd('syntax on')
require('moe').setup({ server = 'moe-lsp' })

local function check(what, condition, found)
  if not condition then
    io.stderr:write('expected ' .. what .. ', found ' .. vim.inspect(found) .. '\n')
    vim.cmd('cquit 1')
  end
  io.stdout:write(what .. '\n')
end

local function messages()
  local list = {}
  for _, each in ipairs(vim.diagnostic.get(0)) do
    table.insert(list, (each.lnum + 1) .. ': ' .. each.message)
  end
  return list
end

local function request(method, params)
  local answers = vim.lsp.buf_request_sync(0, method, params, 20000)
  for _, answer in pairs(answers or {}) do
    return answer.result
  end
end

vim.cmd('edit ' .. folder .. '/model.mlir')
check('the filetype moe', vim.bo.filetype == 'moe', vim.bo.filetype)
check('a client', vim.wait(20000, function() return #vim.lsp.buf_get_clients(0) > 0 or next(vim.lsp.buf_get_clients(0)) ~= nil end), nil)
check('completion by omnifunc', vim.bo.omnifunc == 'v:lua.vim.lsp.omnifunc', vim.bo.omnifunc)
check('two diagnostics', vim.wait(20000, function() return #messages() == 2 end), messages())
io.stdout:write(table.concat(messages(), '\n') .. '\n')

-- The size is corrected, as an author does it, and one error is gone.
vim.cmd([[2substitute/hiden/hidden/]])
check('one diagnostic', vim.wait(20000, function() return #messages() == 1 end), messages())
vim.cmd([[substitute/x/x/e]])
vim.cmd([[%substitute/geluu/gelu/]])
check('no diagnostic', vim.wait(20000, function() return #messages() == 0 end), messages())

vim.fn.cursor(3, 5)
local hover = request('textDocument/hover', vim.lsp.util.make_position_params())
check('a shape', hover and hover.contents.value:find('%[16, 32%]') ~= nil, hover)
io.stdout:write(hover.contents.value .. '\n')

vim.fn.cursor(4, 11)
local completion = request('textDocument/completion', vim.lsp.util.make_position_params())
check('ops', completion and #completion.items > 30, completion)

vim.fn.cursor(2, 4)
vim.lsp.buf.rename('high')
check('a new name in three places', vim.wait(20000, function() return vim.fn.getline(3):find('%%high') ~= nil end), vim.fn.getline(3))

vim.fn.setline(5, '      yield    %down')
vim.lsp.buf.formatting_sync({}, 20000)
check('a formatted line', vim.fn.getline(5) == '  yield %down', vim.fn.getline(5))
local group = vim.fn.synIDattr(vim.fn.synID(2, vim.fn.match(vim.fn.getline(2), 'linear') + 1, 1), 'name')
check('highlighting', group == 'moeOp', group)
vim.cmd('qall!')
