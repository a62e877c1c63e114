-- Begins a connection: whether this member is still one, and the broker's clock.
-- ARGV[3]  the run id of the broker
ensure(ARGV[3])
return { is_member(me) and 1 or 0, clock() }
