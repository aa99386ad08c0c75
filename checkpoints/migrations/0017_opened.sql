-- Who read a raw text of a tool's, beside who saw an approval: `approval_id` and `status` are empty, and the hash is
-- of the text.
ALTER TABLE audit
    DROP CONSTRAINT audit_action_check,
    ADD CONSTRAINT audit_action_check CHECK (action IN ('request', 'view', 'decision', 'open'));
