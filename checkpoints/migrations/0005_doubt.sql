-- Effects in doubt: a person settles what the tool's own check can't.
ALTER TABLE effects ADD COLUMN abandoned BOOLEAN NOT NULL DEFAULT false;  -- given up by a person: never tried again
ALTER TABLE approvals
    ADD COLUMN effect_key TEXT,  -- the effect in doubt that is asked about; NULL for a call that has not run
    ADD COLUMN effect_holder TEXT,  -- the attempt at it that is in doubt: a decision settles no later one
    DROP CONSTRAINT approvals_status_check,
    ADD CONSTRAINT approvals_status_check CHECK (status IN (
        'pending', 'approved', 'edited', 'rejected', 'responded', 'cancelled', 'done', 'retried', 'abandoned'
    ));
