"""Our own attacks: cases that are data, played on the real graphs by a model that is wholly the attacker's."""
