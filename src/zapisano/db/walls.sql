-- What PostgreSQL shows to everybody and no tenant's role needs. Run by a superuser in this
-- database, once after the first migration. Who may make schemas here (the owner) and pg_monitor
-- keep all of it; run it again when another owner has come. docs/decisions/0003 says what is left
-- and why.

-- No empty line inside a statement: PostgreSQL in single-user mode ends it there.

-- The figures and the roles of everybody: activity, locks, statistics, memberships.
DO $walls$
DECLARE
    keepers text;
    names name[];
    thing text;
    columns text;
BEGIN
    SELECT string_agg(quote_ident(rolname), ', '), array_agg(rolname) INTO keepers, names
    FROM pg_roles WHERE rolname = 'pg_monitor' OR (NOT rolsuper AND rolname !~ '^pg_'
        AND has_database_privilege(oid, current_database(), 'CREATE'));
    FOR thing IN
        SELECT 'SELECT ON TABLE ' || oid::regclass FROM pg_class
        WHERE relnamespace = 'pg_catalog'::regnamespace
            AND (relname ~ '^pg_stat(io)?_' AND relkind = 'v' OR relname IN ('pg_locks', 'pg_roles',
                'pg_user', 'pg_group', 'pg_auth_members', 'pg_shdepend', 'pg_db_role_setting',
                'pg_largeobject_metadata'))
            AND (has_table_privilege('public', oid, 'SELECT') OR EXISTS (
                SELECT FROM unnest(names) AS n WHERE NOT has_table_privilege(n, oid, 'SELECT')))
        UNION ALL
        SELECT 'EXECUTE ON FUNCTION ' || oid::regprocedure FROM pg_proc
        WHERE pronamespace = 'pg_catalog'::regnamespace
            -- Locks that end with their transaction stay: bookings and the queue take them.
            AND (proname ~ '^(pg_stat_get_|lo_|pg_logical_|pg_advisory_(un)?lock|pg_try_advisory_lock)'
                OR proname IN ('loread', 'lowrite', 'pg_lock_status', 'pg_database_size',
                    'pg_tablespace_size', 'pg_relation_size', 'pg_table_size', 'pg_indexes_size',
                    'pg_total_relation_size'))
            AND (has_function_privilege('public', oid, 'EXECUTE') OR EXISTS (
                SELECT FROM unnest(names) AS n WHERE NOT has_function_privilege(n, oid, 'EXECUTE')))
    LOOP
        EXECUTE 'REVOKE ' || thing || ' FROM PUBLIC';
        EXECUTE 'GRANT ' || thing || ' TO ' || keepers;
    END LOOP;
    -- How large others' tables are. The other columns stay: drivers look types up in them.
    IF has_column_privilege('public', 'pg_class', 'reltuples', 'SELECT') OR EXISTS (
        SELECT FROM unnest(names) AS n WHERE NOT has_table_privilege(n, 'pg_class', 'SELECT'))
    THEN
        SELECT string_agg(quote_ident(attname), ', ') INTO columns FROM pg_attribute
        WHERE attrelid = 'pg_class'::regclass AND attnum > 0 AND NOT attisdropped
            AND attname NOT IN ('relpages', 'reltuples', 'relallvisible', 'relallfrozen', 'relacl');
        REVOKE SELECT ON pg_class FROM PUBLIC;
        EXECUTE 'GRANT SELECT (' || columns || ') ON pg_class TO PUBLIC';
        EXECUTE 'GRANT SELECT ON pg_class TO ' || keepers;
    END IF;
END $walls$;

-- Room on the server's disk that no quota of a schema counts.
DO $walls$
BEGIN
    EXECUTE 'REVOKE TEMPORARY ON DATABASE ' || quote_ident(current_database()) || ' FROM PUBLIC';
END $walls$;
