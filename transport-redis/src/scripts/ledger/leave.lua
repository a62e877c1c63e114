-- A holder ends. What it still ran has ended with it.
if is_holder() then
  bury(epoch, crashed)
  call('DEL', L .. 'said:' .. epoch)
  close(true)
end
return { 'ok' }
