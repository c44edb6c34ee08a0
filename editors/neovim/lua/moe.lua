-- The model language in Neovim: its server, for every buffer of filetype moe. docs/editors.md says how it is set up.
--
--     vim.opt.runtimepath:append('/path/to/moe/editors/neovim')
--     require('moe').setup({ server = '/path/to/moe/build/bin/moe-lsp' })
--
-- Works from Neovim 0.7 on: what later versions have (vim.lsp.start, inlay hints) is used where it is there.
local M = {}

-- `server`: a path, or a name that the shell finds. `plugins`: files after --load. `inlay_hints`: shapes behind the names of
-- values. `on_attach`: called with client and buffer, for keys.
M.options = { server = 'moe-lsp', plugins = {}, inlay_hints = false, on_attach = nil }

local function configuration(buffer)
  local command = { M.options.server }
  for _, plugin in ipairs(M.options.plugins) do
    vim.list_extend(command, { '--load', plugin })
  end
  local file = vim.api.nvim_buf_get_name(buffer)
  return {
    name = 'moe',
    cmd = command,
    root_dir = vim.fn.fnamemodify(file ~= '' and file or vim.fn.getcwd(), ':p:h'),
    -- Neovim shows the message of a diagnostic, and not the places that are related to it.
    init_options = { inlayHints = M.options.inlay_hints, notesInMessage = true },
    on_attach = function(client, attached)
      vim.api.nvim_buf_set_option(attached, 'omnifunc', 'v:lua.vim.lsp.omnifunc') -- CTRL-X CTRL-O
      if M.options.inlay_hints and vim.lsp.inlay_hint and vim.lsp.inlay_hint.enable then
        vim.lsp.inlay_hint.enable(true, { bufnr = attached })
      end
      if M.options.on_attach then
        M.options.on_attach(client, attached)
      end
    end,
  }
end

local client -- before vim.lsp.start: one for all buffers

function M.attach(buffer)
  if vim.lsp.start then
    return vim.lsp.start(configuration(buffer), { bufnr = buffer })
  end
  if not client or vim.lsp.client_is_stopped(client) then
    client = vim.lsp.start_client(configuration(buffer))
  end
  if client then
    vim.lsp.buf_attach_client(buffer, client)
  end
  return client
end

function M.setup(options)
  M.options = vim.tbl_extend('force', M.options, options or {})
  local group = vim.api.nvim_create_augroup('moe', { clear = true })
  vim.api.nvim_create_autocmd({ 'BufRead', 'BufNewFile' }, {
    group = group,
    pattern = '*.mlir',
    callback = function(event)
      vim.api.nvim_buf_set_option(event.buf, 'filetype', 'moe')
    end,
  })
  vim.api.nvim_create_autocmd('FileType', {
    group = group,
    pattern = 'moe',
    callback = function(event)
      M.attach(event.buf)
    end,
  })
end

return M
