"""Credits: how accounts begin, are taken over, and what ends with time."""

from alembic import op

revision = "c0003"
down_revision = "c0002"

# One address is opened or adopted by one transaction at a time, and none while all are: the
# documented table is unique in the spelling of an address, which the system before us chooses.
GUARD = """CREATE FUNCTION credits.guard(p_email text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF p_email IS NULL THEN
        PERFORM pg_advisory_xact_lock(7260924);
    ELSE
        PERFORM pg_advisory_xact_lock_shared(7260924);
        PERFORM pg_advisory_xact_lock(7260924, hashtext(credits.fold(p_email)));
    END IF;
END $$"""

# Take over rows that the ledger does not know yet: one posting each, and nothing changes in what
# is documented. Addresses that differ in case only, and sums that are no number, are frozen.
# The system before us may still be adding rows and changing them: what is adopted is locked, in
# the order in which batches lock, and a clash that comes meanwhile waits for the next time.
ADOPT = """CREATE FUNCTION credits.adopt(p_email text DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    at timestamptz;
    upto bigint;
    adopted bigint;
BEGIN
    PERFORM credits.guard(p_email);
    PERFORM 1 FROM public.user_balances AS a
    WHERE credits.fold(a.email) IN (SELECT credits.fold(b.email) FROM public.user_balances AS b
        WHERE b.head IS NULL AND b.frozen IS NULL
            AND (p_email IS NULL OR credits.fold(b.email) = credits.fold(p_email)))
    ORDER BY a.id FOR NO KEY UPDATE;
    at := clock_timestamp();
    -- Charges up to here are the system's that was before us, whatever their dates say.
    upto := greatest(0, (SELECT max(t.id) FROM public.credit_transactions AS t),
        pg_sequence_last_value(
            pg_get_serial_sequence('public.credit_transactions', 'id')::regclass));
    UPDATE public.user_balances AS a SET frozen = CASE
        WHEN a.id < 0 THEN 'its number is below zero'
        WHEN a.balance IS NULL THEN 'there is no balance'
        WHEN a.balance = 'NaN' THEN 'the balance is no number'
        WHEN a.total_spent IS NULL OR a.total_spent = 'NaN' THEN 'total_spent is no number'
        ELSE 'the address clashes' END
    WHERE a.frozen IS NULL AND (p_email IS NULL OR credits.fold(a.email) = credits.fold(p_email))
        AND (a.id < 0 OR a.balance IS NULL OR a.total_spent IS NULL
            OR a.balance = 'NaN' OR a.total_spent = 'NaN'
            OR credits.fold(a.email) IN (SELECT credits.fold(b.email) FROM public.user_balances AS b
                WHERE (p_email IS NULL OR credits.fold(b.email) = credits.fold(p_email))
                    AND b.frozen IS DISTINCT FROM 'merged'
                GROUP BY credits.fold(b.email) HAVING count(*) > 1));
    WITH fresh AS MATERIALIZED (
        SELECT ROW(
            a.id, nextval('credits.movements'), a.balance, -6, 'adoption', a.balance, NULL, 0,
            NULL, NULL, NULL, NULL, 'Carried over',
            jsonb_build_object('total_spent', a.total_spent, 'transactions', upto), NULL, at, NULL
        )::credits.postings AS entry
        FROM (SELECT b.id, b.balance, b.total_spent FROM public.user_balances AS b
            WHERE b.head IS NULL AND b.frozen IS NULL
                AND (p_email IS NULL OR credits.fold(b.email) = credits.fold(p_email))
                AND NOT EXISTS (SELECT FROM public.user_balances AS c
                    WHERE credits.fold(c.email) = credits.fold(b.email) AND c.id <> b.id
                        AND c.frozen IS DISTINCT FROM 'merged')
            ORDER BY b.id FOR NO KEY UPDATE OF b) AS a
    ), linked AS (
        UPDATE public.user_balances AS a SET
            movement = (f.entry).movement,
            head = credits.link(sha256(convert_to(credits.fold(a.email), 'UTF8')), f.entry)
        FROM fresh AS f WHERE a.id = (f.entry).account
        RETURNING f.entry AS entry, a.head
    ), written AS (
        INSERT INTO credits.postings (account, movement, amount, counter, kind,
            balance_after, remainder, operation, metadata, created_at, link)
        SELECT (l.entry).account, (l.entry).movement, (l.entry).amount, (l.entry).counter,
            (l.entry).kind, (l.entry).balance_after, (l.entry).remainder, (l.entry).operation,
            (l.entry).metadata, (l.entry).created_at, l.head
        FROM linked AS l
    )
    INSERT INTO credits.postings (account, movement, amount)
    SELECT (l.entry).counter, (l.entry).movement, -(l.entry).amount FROM linked AS l;
    GET DIAGNOSTICS adopted = ROW_COUNT;
    RETURN adopted;
END $$"""

# The account of an address: made with its opening credits in one
# commit, once however many ask; one that the system before us has made is adopted.
OPEN = """CREATE FUNCTION credits.open(p_email text, p_opening numeric, p_test boolean)
RETURNS text LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
    entry credits.postings;
    made integer;
BEGIN
    PERFORM credits.guard(p_email);
    INSERT INTO public.user_balances
        (email, balance, total_spent, is_test_account, created_at, updated_at)
    SELECT p_email, p_opening, 0, p_test, clock_timestamp(), clock_timestamp()
    WHERE NOT EXISTS (SELECT FROM public.user_balances AS a
        WHERE credits.fold(a.email) = credits.fold(p_email))
    ON CONFLICT (email) DO NOTHING RETURNING id INTO made;
    IF made IS NULL THEN
        PERFORM credits.adopt(p_email);
        RETURN CASE WHEN EXISTS (SELECT FROM public.user_balances AS a
            WHERE credits.fold(a.email) = credits.fold(p_email) AND a.frozen IS NULL)
            THEN 'there' ELSE 'frozen' END;
    END IF;
    entry := ROW(
        made, nextval('credits.movements'), p_opening, -2, 'opening', p_opening, NULL, 0, NULL,
        NULL, NULL, NULL, 'Opening credits', NULL, NULL, clock_timestamp(), NULL
    )::credits.postings;
    entry.link := credits.link(sha256(convert_to(credits.fold(p_email), 'UTF8')), entry);
    INSERT INTO credits.postings (account, movement, amount, counter, kind, balance_after,
        remainder, operation, created_at, link)
    VALUES (made, entry.movement, p_opening, -2, 'opening', p_opening, 0, entry.operation,
        entry.created_at, entry.link), (-2, entry.movement, -p_opening, NULL, NULL, NULL, NULL,
        NULL, NULL, NULL);
    UPDATE public.user_balances SET movement = entry.movement, head = entry.link WHERE id = made;
    RETURN 'made';
END $$"""

# Give back what is held by holds that have ended, take back what is left of grants that have
# ended, and note when the next of them ends. A hold may give back to a grant, so it is first.
# Whoever asks has a connection of the pool meanwhile: as in `post`, nobody waits for long.
EXPIRE = """CREATE FUNCTION credits.expire(
    p_email text, p_now timestamptz, p_floor numeric, p_most numeric, p_threshold numeric
) RETURNS integer LANGUAGE plpgsql
SET enable_seqscan = off SET plan_cache_mode = force_generic_plan SET lock_timeout = '500ms'
AS $$
DECLARE
    mine integer;
    ids uuid[];
    lots bigint[];
    total integer := 0;
BEGIN
    -- In the order in which batches lock: of a merged address there are several.
    PERFORM 1 FROM public.user_balances AS a
    WHERE credits.fold(a.email) = credits.fold(p_email) ORDER BY a.id FOR NO KEY UPDATE;
    SELECT a.id INTO mine FROM public.user_balances AS a
    WHERE credits.fold(a.email) = credits.fold(p_email) AND a.frozen IS NULL;
    SELECT array_agg(h.id ORDER BY h.expires_at, h.id) INTO ids FROM credits.holds AS h
    WHERE h.account = mine AND h.state = 'open' AND h.expires_at <= p_now;
    IF ids IS NOT NULL THEN
        total := total + credits.post_ends(p_email, p_now, p_floor, p_most, p_threshold,
            'expire', ids, array_fill(NULL::bigint, ARRAY[cardinality(ids)]));
    END IF;
    SELECT array_agg(g.id ORDER BY g.expires_at, g.id) INTO lots FROM credits.grants AS g
    WHERE g.account = mine AND g.remaining > 0 AND g.expires_at <= p_now;
    IF lots IS NOT NULL THEN
        total := total + credits.post_ends(p_email, p_now, p_floor, p_most, p_threshold,
            'lapse', array_fill(NULL::uuid, ARRAY[cardinality(lots)]), lots);
    END IF;
    UPDATE public.user_balances SET expires_at = least(
        (SELECT min(h.expires_at) FROM credits.holds AS h
            WHERE h.account = mine AND h.state = 'open'),
        (SELECT min(g.expires_at) FROM credits.grants AS g
            WHERE g.account = mine AND g.remaining > 0))
    WHERE id = mine;
    RETURN total;
END $$"""

POST_ENDS = """CREATE FUNCTION credits.post_ends(
    p_email text, p_now timestamptz, p_floor numeric, p_most numeric, p_threshold numeric,
    p_verb text, p_holds uuid[], p_lots bigint[]
) RETURNS integer LANGUAGE sql AS $$
    SELECT count(*)::integer FROM credits.post(
        p_now, p_floor, p_most, p_threshold, true,
        array_fill(p_email, ARRAY[cardinality(p_holds)]),
        array_fill(p_verb, ARRAY[cardinality(p_holds)]),
        array_fill(NULL::numeric, ARRAY[cardinality(p_holds)]),
        array_fill(NULL::numeric, ARRAY[cardinality(p_holds)]),
        array_fill(false, ARRAY[cardinality(p_holds)]),
        p_holds, array_fill(NULL::timestamptz, ARRAY[cardinality(p_holds)]), p_lots,
        array_fill(NULL::text, ARRAY[cardinality(p_holds)]),
        array_fill(NULL::bytea, ARRAY[cardinality(p_holds)]),
        array_fill(CASE p_verb WHEN 'expire' THEN 'Hold expired' ELSE 'Grant ended' END,
            ARRAY[cardinality(p_holds)]),
        array_fill(NULL::jsonb, ARRAY[cardinality(p_holds)])
    ) WHERE outcome = 'ok'
$$"""

# Keep a hold open for longer.
RENEW = """CREATE FUNCTION credits.renew(
    p_email text, p_hold uuid, p_now timestamptz, p_expires timestamptz
) RETURNS text LANGUAGE plpgsql SET enable_seqscan = off SET lock_timeout = '500ms' AS $$
DECLARE
    mine integer;
    found credits.holds;
BEGIN
    SELECT a.id INTO mine FROM public.user_balances AS a
    WHERE credits.fold(a.email) = credits.fold(p_email) AND a.frozen IS NULL FOR NO KEY UPDATE;
    IF mine IS NULL THEN
        RETURN 'no_account';
    END IF;
    SELECT h.id, h.account, h.amount, h.promo, h.state, h.shortfall, h.opened, h.closed,
        h.expires_at INTO found FROM credits.holds AS h WHERE h.id = p_hold AND h.account = mine;
    IF found.id IS NULL THEN
        RETURN 'no_hold';
    ELSIF found.state <> 'open' THEN
        RETURN 'hold_' || found.state;
    ELSIF found.expires_at <= p_now THEN
        RETURN 'expiry_due';
    END IF;
    UPDATE credits.holds SET expires_at = p_expires WHERE id = p_hold;
    UPDATE public.user_balances SET expires_at = least(expires_at, p_expires) WHERE id = mine;
    RETURN 'ok';
END $$"""


def upgrade() -> None:
    for function in (GUARD, ADOPT, OPEN, POST_ENDS, EXPIRE, RENEW):
        op.execute(function)
    op.execute("REVOKE ALL ON ALL FUNCTIONS IN SCHEMA credits FROM PUBLIC")
    # Whoever else adds accounts keeps their index, too.
    op.execute("GRANT EXECUTE ON FUNCTION credits.fold TO PUBLIC")
