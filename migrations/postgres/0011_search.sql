-- What things are found by. The program makes the words of a row and writes them into it; triggers bring them here, in the
-- same transaction. To be found, a table needs such a column, and the two triggers at the end.

CREATE TABLE search (
    -- What was changed last has the highest.
    number BIGINT NOT NULL GENERATED ALWAYS AS IDENTITY UNIQUE,
    type TEXT NOT NULL,
    id UUID NOT NULL,
    words TSVECTOR NOT NULL,
    PRIMARY KEY (type, id)
);
CREATE INDEX search_words ON search USING gin (words) WITH (gin_pending_list_limit = 512);

CREATE FUNCTION search_put() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO search (type, id, words) VALUES (TG_ARGV[0], NEW.id, NEW.words)
    ON CONFLICT (type, id) DO UPDATE SET number = DEFAULT, words = EXCLUDED.words;
    RETURN NULL;
END
$$;
CREATE FUNCTION search_remove() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM search WHERE type = TG_ARGV[0] AND id = OLD.id;
    RETURN NULL;
END
$$;

-- NULL: a row from before this column; the program fills it in when it next starts.
ALTER TABLE episodes ADD COLUMN words TSVECTOR;
CREATE TRIGGER episodes_found AFTER INSERT OR UPDATE OF words ON episodes
    FOR EACH ROW WHEN (NEW.words IS NOT NULL) EXECUTE FUNCTION search_put('episode');
CREATE TRIGGER episodes_removed AFTER DELETE ON episodes
    FOR EACH ROW EXECUTE FUNCTION search_remove('episode');
