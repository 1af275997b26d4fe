-- What `q` looks into: name and address folded to lower case, by the program (SQLite folds ASCII only, so of the names
-- that are there already the rest is folded at their next change).
ALTER TABLE users ADD COLUMN folded TEXT NOT NULL DEFAULT '';
UPDATE users SET folded = LOWER(name) || chr(10) || email_key;
