"""Credits: the functions that move them. A batch is one call, and one commit."""

from alembic import op

revision = "c0002"
down_revision = "c0001"

# One link of an account's chain: it seals the posting and, through the link before it, all that
# was. Texts of records quote what they hold, so no two postings have one text.
LINK = """CREATE FUNCTION credits.link(head bytea, p credits.postings) RETURNS bytea
LANGUAGE sql STABLE RETURN sha256(head || convert_to(ROW(
    p.account, p.movement, p.amount, p.counter, p.kind, p.balance_after, p.cost, p.remainder,
    p.hold, p.refers, p.key, encode(p.params, 'hex'), p.operation, p.metadata,
    extract(epoch FROM p.created_at)
)::text, 'UTF8'))"""

# Take from the grants that end first; return how much there was. The account is locked.
DRAW = """CREATE FUNCTION credits.draw(p_account integer, p_movement bigint, p_amount numeric)
RETURNS numeric LANGUAGE plpgsql AS $$
DECLARE
    lot record;
    left_over numeric := p_amount;
    taken numeric;
BEGIN
    FOR lot IN
        SELECT g.id, g.remaining FROM credits.grants AS g
        WHERE g.account = p_account AND g.remaining > 0 ORDER BY g.expires_at, g.id
    LOOP
        EXIT WHEN left_over <= 0;
        taken := least(left_over, lot.remaining);
        UPDATE credits.grants SET remaining = remaining - taken WHERE id = lot.id;
        INSERT INTO credits.draws (movement, grant_id, amount) VALUES (p_movement, lot.id, taken);
        left_over := left_over - taken;
    END LOOP;
    RETURN p_amount - left_over;
END $$"""

# Give back to the grants what a hold has taken from them; one that has ended meanwhile lapses
# with the account's next expiry. Return when the first of them ends.
GIVE_BACK = """CREATE FUNCTION credits.give_back(p_movement bigint)
RETURNS timestamptz LANGUAGE sql AS $$
    WITH back AS (
        UPDATE credits.grants AS g SET remaining = g.remaining + d.amount
        FROM credits.draws AS d WHERE d.movement = p_movement AND g.id = d.grant_id
        RETURNING g.expires_at
    )
    SELECT min(expires_at) FROM back
$$"""

# What a refund of a charge returns: `p_amount`, or all that is left of it; NULL where that is less,
# or where it is no charge of the account's.
REFUNDABLE = """CREATE FUNCTION credits.refundable(
    p_account integer, p_movement bigint, p_amount numeric
) RETURNS numeric LANGUAGE plpgsql
SET enable_seqscan = off
AS $$
DECLARE
    left_over numeric;
BEGIN
    SELECT -c.amount - coalesce((SELECT sum(r.amount) FROM credits.postings AS r
        WHERE r.account = p_account AND r.refers = p_movement), 0)
    INTO left_over FROM credits.postings AS c
    WHERE c.account = p_account AND c.movement = p_movement AND c.kind = 'charge';
    RETURN CASE WHEN coalesce(p_amount, 0.01) <= left_over
        THEN coalesce(p_amount, left_over) END;
END $$"""

# What is left of a grant that has ended; NULL where it has not, or nothing is.
LAPSED = """CREATE FUNCTION credits.lapsed(p_account integer, p_grant bigint, p_now timestamptz)
RETURNS numeric LANGUAGE sql AS $$
    SELECT g.remaining FROM credits.grants AS g
    WHERE g.id = p_grant AND g.account = p_account AND g.expires_at <= p_now AND g.remaining > 0
$$"""

# Every movement of credits goes through here: a batch of them, in the order of arrival. The
# answer has a row for each item: what became of it, and the posting that says so.
# Rows are locked in one order, before anything is read; the second statement sees what others
# have committed until then, accounts too that were not there to be locked. Those are `locked`, and
# without `p_wait` so is an account that somebody else keeps. A key is of an address, whichever of
# its accounts had it, and is answered for a frozen one too: what was done stays done.
# Plans are pinned: one made on an empty ledger would read all of it. Half a second is many times
# what any of our own transactions keeps a row (the largest batch takes some 30 ms), and less than
# the second after which PostgreSQL begins to look for deadlocks.
POST = """CREATE FUNCTION credits.post(
    p_now timestamptz, p_floor numeric, p_most numeric, p_threshold numeric, p_wait boolean,
    p_emails text[], p_verbs text[], p_amounts numeric[], p_costs numeric[], p_partial boolean[],
    p_holds uuid[], p_expires timestamptz[], p_refers bigint[],
    p_keys text[], p_params bytea[], p_operations text[], p_metadata jsonb[]
) RETURNS TABLE (
    n integer, outcome text, movement bigint, amount numeric, balance numeric, hold uuid
) LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET plan_cache_mode = force_generic_plan SET lock_timeout = '500ms'
AS $$
#variable_conflict use_column
DECLARE
    i record;
    folded text[] := ARRAY(SELECT credits.fold(e.email)
        FROM unnest(p_emails) WITH ORDINALITY AS e (email, n) ORDER BY e.n);
    locked integer[];
    acc public.user_balances;
    has_moved boolean := false;
    accounts public.user_balances[] := '{}';
    entry credits.postings;
    entries credits.postings[] := '{}';
    opened credits.holds[] := '{}';
    closed credits.holds[] := '{}';
    alerts credits.alerts[] := '{}';
    keys text[] := '{}';
    used uuid[] := '{}';
    referred bigint[] := '{}';
    at timestamptz;
    delta numeric(12,2);
    back numeric(12,2);
    total numeric;
    short numeric(10,2);
    drawn numeric(10,2);
    before numeric(10,2);
BEGIN
    IF p_wait THEN
        SELECT array_agg(l.id) INTO locked FROM (
            SELECT a.id FROM public.user_balances AS a
            WHERE credits.fold(a.email) = ANY (folded) ORDER BY a.id FOR NO KEY UPDATE
        ) AS l;
    ELSE
        SELECT array_agg(l.id) INTO locked FROM (
            SELECT a.id FROM public.user_balances AS a
            WHERE credits.fold(a.email) = ANY (folded) ORDER BY a.id FOR NO KEY UPDATE SKIP LOCKED
        ) AS l;
    END IF;
    at := clock_timestamp();
    FOR i IN
        SELECT q.n::integer AS n, q.verb, q.amount, q.cost, q.partial, q.hold, q.expires_at,
            q.refers, q.key, q.params, q.operation, q.metadata,
            a AS account, a.id AS id,
            seen.movement AS seen, seen.params AS seen_params, seen.amount AS seen_amount,
            seen.balance_after AS seen_balance, seen.hold AS seen_hold,
            h.state AS hold_state, h.amount AS hold_amount, h.promo AS hold_promo,
            h.opened AS hold_opened, h.expires_at <= p_now AS hold_due
        FROM unnest(
            folded, p_verbs, p_amounts, p_costs, p_partial, p_holds, p_expires, p_refers,
            p_keys, p_params, p_operations, p_metadata
        ) WITH ORDINALITY AS q (
            email, verb, amount, cost, partial, hold, expires_at, refers,
            key, params, operation, metadata, n
        )
        LEFT JOIN public.user_balances AS a
            ON credits.fold(a.email) = q.email AND a.frozen IS NULL AND a.head IS NOT NULL
        LEFT JOIN LATERAL (
            SELECT p.movement, p.params, p.amount, p.balance_after, p.hold
            FROM credits.postings AS p WHERE p.key = q.key AND p.account = ANY (ARRAY(
                SELECT s.id FROM public.user_balances AS s WHERE credits.fold(s.email) = q.email
            )) LIMIT 1
        ) AS seen ON q.key IS NOT NULL
        LEFT JOIN LATERAL (
            SELECT o.state, o.amount, o.promo, o.opened, o.expires_at
            FROM credits.holds AS o WHERE o.id = q.hold AND o.account = a.id LIMIT 1
        ) AS h ON q.hold IS NOT NULL
        ORDER BY a.id, q.n
    LOOP
        n := i.n; movement := NULL; amount := NULL; balance := NULL; hold := i.hold;
        IF acc.id IS DISTINCT FROM i.id THEN
            IF has_moved THEN accounts := accounts || acc; END IF;
            acc := i.account; keys := '{}'; has_moved := false;
        END IF;
        outcome := CASE
            WHEN i.seen_params = i.params THEN 'replay'
            WHEN i.seen IS NOT NULL THEN 'key_reused'
            WHEN i.id IS NULL THEN 'no_account'
            WHEN (i.id = ANY (locked)) IS NOT TRUE THEN 'locked'
            WHEN i.key = ANY (keys) OR i.hold = ANY (used) OR i.refers = ANY (referred) THEN 'twin'
            WHEN acc.expires_at <= p_now AND i.verb NOT IN ('expire', 'lapse') THEN 'expiry_due'
            WHEN i.verb NOT IN ('settle', 'release', 'expire') THEN 'ok'
            WHEN i.hold_state IS NULL THEN 'no_hold'
            WHEN i.hold_state <> 'open' THEN 'hold_' || i.hold_state
            WHEN i.verb = 'expire' AND NOT i.hold_due THEN 'not_due'
            ELSE 'ok'
        END;
        IF outcome <> 'ok' THEN
            IF outcome = 'replay' THEN
                movement := i.seen; amount := i.seen_amount; balance := i.seen_balance;
                hold := i.seen_hold;
            END IF;
            RETURN NEXT; CONTINUE;
        END IF;

        -- What comes back from a hold, and what moves besides.
        back := CASE WHEN i.verb IN ('settle', 'release', 'expire') THEN i.hold_amount ELSE 0 END;
        total := acc.remainder; short := 0;
        IF i.verb IN ('release', 'expire') THEN
            delta := NULL;
        ELSIF i.cost IS NOT NULL THEN
            total := total + i.cost; delta := -trunc(total, 2); total := total + delta;
        ELSIF i.verb IN ('charge', 'hold', 'settle') THEN
            delta := -i.amount;
        ELSIF i.verb = 'refund' THEN
            delta := credits.refundable(i.id, i.refers, i.amount);
            IF delta IS NULL THEN
                outcome := 'not_refundable'; RETURN NEXT; CONTINUE;
            END IF;
        ELSIF i.verb = 'lapse' THEN
            delta := -credits.lapsed(i.id, i.refers, p_now);
            IF delta IS NULL THEN
                outcome := 'not_due'; RETURN NEXT; CONTINUE;
            END IF;
        ELSE
            delta := i.amount;
        END IF;

        IF (i.verb IN ('charge', 'hold', 'settle', 'lapse') AND delta > 0)
            OR (i.verb IN ('refund', 'grant', 'topup') AND delta < 0)
        THEN
            RAISE check_violation USING MESSAGE = i.verb || ' goes the other way';
        END IF;

        -- What the account can bear.
        IF delta < 0 AND i.verb <> 'lapse' AND acc.balance + back + delta < p_floor THEN
            IF NOT i.partial THEN
                outcome := 'insufficient'; amount := delta; balance := acc.balance + back;
                RETURN NEXT; CONTINUE;
            END IF;
            -- To the floor and no further; what is missing is kept with the hold.
            short := -delta - greatest(acc.balance + back - p_floor, 0);
            delta := delta + short;
        END IF;
        -- What is held may come back at any time, so it needs its place too.
        IF acc.balance + acc.held + delta > p_most
            OR i.verb IN ('charge', 'settle') AND acc.total_spent - delta > p_most
        THEN
            outcome := 'too_much'; RETURN NEXT; CONTINUE;
        END IF;

        -- One posting or two: of the hold that ends, and of what is charged or moved.
        before := acc.balance + acc.held; has_moved := true;
        FOR leg IN 1..2 LOOP
            CONTINUE WHEN (leg = 1 AND back = 0) OR (leg = 2 AND delta IS NULL);
            movement := nextval('credits.movements');
            amount := CASE leg WHEN 1 THEN back ELSE delta END;
            acc.balance := acc.balance + amount;
            IF leg = 2 THEN acc.remainder := total; END IF;
            entry := ROW(
                i.id, movement, amount,
                CASE WHEN leg = 1 THEN -4 ELSE CASE i.verb
                    WHEN 'charge' THEN -1 WHEN 'settle' THEN -1 WHEN 'refund' THEN -1
                    WHEN 'grant' THEN -2 WHEN 'lapse' THEN -2 WHEN 'topup' THEN -3
                    WHEN 'hold' THEN -4 WHEN 'adjust' THEN -5 END END,
                CASE WHEN leg = 2 THEN replace(i.verb, 'settle', 'charge')
                    ELSE replace(i.verb, 'settle', 'release') END,
                acc.balance, CASE leg WHEN 2 THEN i.cost END, acc.remainder, i.hold, i.refers,
                CASE WHEN leg = 2 OR delta IS NULL THEN i.key END,
                CASE WHEN leg = 2 OR delta IS NULL THEN i.params END,
                i.operation, i.metadata, NULL, at, NULL
            )::credits.postings;
            entry.link := credits.link(acc.head, entry);
            acc.head := entry.link; acc.movement := movement;
            entries := entries || entry;
            IF leg = 1 AND i.hold_promo > 0 THEN
                acc.promo := acc.promo + i.hold_promo;
                acc.expires_at := least(acc.expires_at, credits.give_back(i.hold_opened));
            END IF;
            drawn := 0;
            IF leg = 2 AND amount < 0 AND acc.promo > 0 AND i.verb <> 'lapse' THEN
                drawn := credits.draw(i.id, movement, -amount);
                acc.promo := acc.promo - drawn;
            END IF;
        END LOOP;

        CASE i.verb
        WHEN 'charge' THEN
            acc.total_spent := acc.total_spent - delta;
        WHEN 'hold' THEN
            acc.held := acc.held - delta;
            acc.expires_at := least(acc.expires_at, i.expires_at);
            opened := opened || ROW(
                i.hold, i.id, -delta, drawn, 'open', 0, movement, NULL, i.expires_at
            )::credits.holds;
        WHEN 'settle', 'release', 'expire' THEN
            acc.held := acc.held - back;
            acc.total_spent := acc.total_spent - coalesce(delta, 0);
            closed := closed || ROW(
                i.hold, i.id, back, 0,
                CASE i.verb WHEN 'settle' THEN 'settled' WHEN 'release' THEN 'released'
                    ELSE 'expired' END,
                short, 0, movement, at
            )::credits.holds;
        WHEN 'refund' THEN
            acc.total_spent := acc.total_spent - delta;
        WHEN 'grant' THEN
            IF i.expires_at IS NOT NULL THEN
                acc.promo := acc.promo + delta;
                acc.expires_at := least(acc.expires_at, i.expires_at);
                INSERT INTO credits.grants (id, account, amount, remaining, expires_at)
                VALUES (movement, i.id, delta, delta, i.expires_at);
            END IF;
        WHEN 'lapse' THEN
            acc.promo := acc.promo + delta;
            UPDATE credits.grants SET remaining = 0 WHERE id = i.refers;
        ELSE NULL;
        END CASE;
        IF i.key IS NOT NULL THEN keys := keys || i.key; END IF;
        IF i.hold IS NOT NULL THEN used := used || i.hold; END IF;
        IF i.refers IS NOT NULL THEN referred := referred || i.refers; END IF;
        -- What is held is the account's until it is spent: to put it aside is no fall.
        IF before >= p_threshold AND acc.balance + acc.held < p_threshold THEN
            alerts := alerts || ROW(
                gen_random_uuid(), i.id, movement, acc.balance, p_threshold, at, 0, p_now,
                NULL, NULL, NULL
            )::credits.alerts;
        END IF;
        balance := acc.balance;
        RETURN NEXT;
    END LOOP;
    -- Only what has moved, and so is locked: of another, what was read may be old by now.
    IF has_moved THEN accounts := accounts || acc; END IF;
    IF cardinality(entries) > 0 THEN
        PERFORM credits.write(at, accounts, entries);
    END IF;
    IF cardinality(opened) > 0 OR cardinality(closed) > 0 OR cardinality(alerts) > 0 THEN
        PERFORM credits.write_besides(opened, closed, alerts);
    END IF;
END $$"""

# The batch's rows: what it charged, both sides of every movement, and the accounts as they stand.
WRITE = """CREATE FUNCTION credits.write(
    p_at timestamptz, p_accounts public.user_balances[], p_entries credits.postings[]
) RETURNS void LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    -- An adopted table may have any sequence, of a serial column or of an identity.
    ids regclass := pg_get_serial_sequence('public.credit_transactions', 'id');
    changed bigint;
BEGIN
    WITH entry AS MATERIALIZED (
        SELECT e.account, e.movement, e.amount, e.counter, e.kind, e.balance_after, e.cost,
            e.remainder, e.hold, e.refers, e.key, e.params, e.operation, e.metadata,
            e.created_at, e.link,
            CASE WHEN e.kind = 'charge' AND e.amount < 0 THEN nextval(ids) END AS transaction
        FROM unnest(p_entries) AS e
    ), charges AS (
        INSERT INTO public.credit_transactions
            (id, email, amount, operation, metadata, balance_after, created_at, movement)
        OVERRIDING SYSTEM VALUE
        SELECT e.transaction, a.email, -e.amount, e.operation, e.metadata, e.balance_after, p_at,
            e.movement
        FROM entry AS e JOIN public.user_balances AS a ON a.id = e.account
        WHERE e.transaction IS NOT NULL
    )
    INSERT INTO credits.postings (
        account, movement, amount, counter, kind, balance_after, cost, remainder, hold, refers,
        key, params, operation, metadata, transaction, created_at, link
    )
    SELECT e.account, e.movement, e.amount, e.counter, e.kind, e.balance_after, e.cost,
        e.remainder, e.hold, e.refers, e.key, e.params,
        CASE WHEN e.transaction IS NULL THEN e.operation END,
        CASE WHEN e.transaction IS NULL THEN e.metadata END,
        e.transaction, e.created_at, e.link
    FROM entry AS e;
    INSERT INTO credits.postings (account, movement, amount)
    SELECT e.counter, e.movement, -e.amount FROM unnest(p_entries) AS e;
    UPDATE public.user_balances AS a SET
        balance = v.balance, total_spent = v.total_spent, held = v.held, remainder = v.remainder,
        promo = v.promo, expires_at = v.expires_at, movement = v.movement, head = v.head,
        updated_at = p_at
    FROM unnest(p_accounts) AS v WHERE a.id = v.id;
    GET DIAGNOSTICS changed = ROW_COUNT;
    IF changed <> cardinality(p_accounts) THEN
        RAISE EXCEPTION '% of % accounts could be written', changed, cardinality(p_accounts);
    END IF;
END $$"""

# Rare beside charges: holds that open and end, and accounts that have fallen under the threshold.
WRITE_BESIDES = """CREATE FUNCTION credits.write_besides(
    p_opened credits.holds[], p_closed credits.holds[], p_alerts credits.alerts[]
) RETURNS void LANGUAGE sql AS $$
    INSERT INTO credits.holds
        (id, account, amount, promo, state, shortfall, opened, closed, expires_at)
    SELECT o.id, o.account, o.amount, o.promo, o.state, o.shortfall, o.opened, o.closed,
        o.expires_at
    FROM unnest(p_opened) AS o;
    UPDATE credits.holds AS h SET state = c.state, shortfall = c.shortfall, closed = c.closed
    FROM unnest(p_closed) AS c WHERE h.id = c.id;
    INSERT INTO credits.alerts
        (id, account, movement, balance, threshold, created_at, attempts, next_at)
    SELECT a.id, a.account, a.movement, a.balance, a.threshold, a.created_at, a.attempts, a.next_at
    FROM unnest(p_alerts) AS a;
$$"""

# One charge alone, in one trip: what `post` does, for an account with nothing unusual about it.
# Nothing told, or somebody keeps the row: ask `post`. It waits for nobody. Settings such as `post`
# has, against plans that read whole tables, would cost it a twentieth; none is to be had here:
# `fold` is dear, and keys are another function's affair. An adopted table may have triggers that
# write to the account meanwhile, so its row is found again by what it is, and not by where it was.
CHARGE = """CREATE FUNCTION credits.charge(
    p_now timestamptz, p_floor_hundredths bigint, p_threshold numeric, p_email text,
    p_amount numeric, p_key text, p_params bytea, p_operation text, p_metadata jsonb,
    OUT movement bigint, OUT balance numeric
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    folded text := credits.fold(p_email);
    acc record;
    at timestamptz;
    sealed bytea;
    kept integer;
BEGIN
    SELECT a.id, a.email, a.balance, a.total_spent, a.remainder, a.head INTO acc
    FROM public.user_balances AS a
    WHERE credits.fold(a.email) = folded AND a.frozen IS NULL AND a.head IS NOT NULL
        AND p_amount > 0 AND p_amount = round(p_amount, 2)
        AND a.promo = 0 AND (a.expires_at IS NULL OR a.expires_at > p_now)
        AND (a.balance - p_amount) * 100 >= p_floor_hundredths
        AND a.total_spent + p_amount < 100000000
        AND (a.balance + a.held - p_amount >= p_threshold) IS NOT DISTINCT FROM
            (a.balance + a.held >= p_threshold)
    FOR NO KEY UPDATE SKIP LOCKED;
    IF NOT FOUND THEN RETURN; END IF;
    -- The row is locked: whoever has used the key has committed, and is seen now.
    IF p_key IS NOT NULL AND credits.is_used(folded, p_key) THEN RETURN; END IF;
    at := clock_timestamp(); movement := nextval('credits.movements');
    balance := acc.balance - p_amount;
    sealed := credits.link(acc.head, ROW(
        acc.id, movement, -p_amount, -1, 'charge', balance, NULL, acc.remainder, NULL, NULL,
        p_key, p_params, p_operation, p_metadata, NULL, at, NULL
    )::credits.postings);
    INSERT INTO public.credit_transactions AS t
        (email, amount, operation, metadata, balance_after, created_at, movement)
    VALUES (acc.email, p_amount, p_operation, p_metadata, balance, at, charge.movement)
    RETURNING t.id INTO kept;
    INSERT INTO credits.postings (
        account, movement, amount, counter, kind, balance_after, remainder, key, params,
        transaction, created_at, link
    ) VALUES
        (acc.id, movement, -p_amount, -1, 'charge', balance, acc.remainder, p_key, p_params,
            kept, at, sealed),
        (-1, movement, p_amount, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
    UPDATE public.user_balances AS a SET
        balance = charge.balance, total_spent = acc.total_spent + p_amount,
        movement = charge.movement, head = sealed, updated_at = at
    WHERE credits.fold(a.email) = folded AND a.id = acc.id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the account % was changed while it was charged', acc.id;
    END IF;
END $$"""

IS_USED = """CREATE FUNCTION credits.is_used(p_folded text, p_key text) RETURNS boolean
LANGUAGE plpgsql SET enable_seqscan = off AS $$
BEGIN
    RETURN EXISTS (SELECT FROM credits.postings AS p
        WHERE p.key = p_key AND p.account = ANY (ARRAY(
            SELECT s.id FROM public.user_balances AS s
            WHERE credits.fold(s.email) = p_folded)));
END $$"""


def upgrade() -> None:
    for function in (
        LINK, DRAW, GIVE_BACK, REFUNDABLE, LAPSED, WRITE, WRITE_BESIDES, POST, IS_USED, CHARGE,
    ):  # fmt: skip
        op.execute(function)
    op.execute("REVOKE ALL ON ALL FUNCTIONS IN SCHEMA credits FROM PUBLIC")
