-- A call that was made while an equal earlier one was in doubt is asked about as that one. What a person or the tool's
-- own check then says settles both, so a replay of the later call must find the earlier one's row, not run.
CREATE TABLE effects_same (
    key TEXT PRIMARY KEY,  -- of the later call; it has no row of its own, or one that failed
    same_as TEXT NOT NULL REFERENCES effects ON DELETE CASCADE
);
CREATE INDEX effects_same_as ON effects_same (same_as);
-- A question about another thread's effect, in a copy or an edit of its state, is one about a call that has not run.
UPDATE approvals SET effect_key = NULL, effect_holder = NULL
WHERE effect_key IS NOT NULL AND applied_at IS NULL AND NOT EXISTS (
    SELECT 1 FROM effects WHERE effects.key = effect_key AND effects.thread_id = approvals.thread_id
);
