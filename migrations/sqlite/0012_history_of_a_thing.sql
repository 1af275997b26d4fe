-- What happened to one thing is found by its key in activity_search: this index had a page for each thing, which every
-- batch of the history wrote anew.
DROP INDEX activity_resource;
