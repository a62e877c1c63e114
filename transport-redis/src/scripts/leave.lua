-- Ends this member's part, in order: nothing that it has taken is left, nor waits in a queue.
bury(me, 'left')
return 1
