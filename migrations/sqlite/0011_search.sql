-- What things are found by. The program makes the words of a row and writes them into it; triggers bring them here, in the
-- same transaction. To be found, a table needs such a column, and the three triggers at the end.

CREATE TABLE search (
    -- What was changed last has the highest.
    number INTEGER PRIMARY KEY,
    type TEXT NOT NULL,
    id BLOB NOT NULL,
    UNIQUE (type, id)
) STRICT;
CREATE VIRTUAL TABLE search_words USING fts5 (words, content = '', contentless_delete = 1, tokenize = 'ascii');
-- Numbers whose words are still in the index, though nothing has them any more; a search finds no row for them. To take
-- out one, FTS5 writes down all that it was given since the commit before, so they are taken out together, now and then.
CREATE TABLE search_gone (
    number INTEGER PRIMARY KEY
) STRICT;
CREATE TRIGGER search_removed AFTER DELETE ON search BEGIN
    INSERT INTO search_gone (number) VALUES (OLD.number);
END;
CREATE TRIGGER search_swept AFTER INSERT ON search WHEN NEW.number % 256 = 0 BEGIN
    DELETE FROM search_words WHERE rowid IN (SELECT number FROM search_gone);
    DELETE FROM search_gone;
END;
-- No number is given twice.
CREATE VIEW search_next AS SELECT MAX(
    (SELECT COALESCE(MAX(number), 0) FROM search), (SELECT COALESCE(MAX(number), 0) FROM search_gone)
) + 1 AS number;

-- NULL: a row from before this column; the program fills it in when it next starts.
ALTER TABLE episodes ADD COLUMN words TEXT;
CREATE TRIGGER episodes_made AFTER INSERT ON episodes WHEN NEW.words IS NOT NULL BEGIN
    INSERT INTO search (number, type, id)
    SELECT number, 'episode', NEW.id FROM search_next;
    INSERT INTO search_words (rowid, words)
    SELECT number, NEW.words FROM search WHERE type = 'episode' AND id = NEW.id;
END;
CREATE TRIGGER episodes_changed AFTER UPDATE OF words ON episodes WHEN NEW.words IS NOT NULL BEGIN
    DELETE FROM search WHERE type = 'episode' AND id = NEW.id;
    INSERT INTO search (number, type, id)
    SELECT number, 'episode', NEW.id FROM search_next;
    INSERT INTO search_words (rowid, words)
    SELECT number, NEW.words FROM search WHERE type = 'episode' AND id = NEW.id;
END;
CREATE TRIGGER episodes_removed AFTER DELETE ON episodes BEGIN
    DELETE FROM search WHERE type = 'episode' AND id = OLD.id;
END;
