-- Ends the part of a member that does not read what it is sent, or sends what it may not.
-- ARGV[3]  the member
bury(ARGV[3], 'lost')
return 1
