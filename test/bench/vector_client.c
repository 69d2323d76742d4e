/*-------------------------------------------------------------------------
 *
 * vector_client.c
 *	  One client of a server that searches and inserts vectors: prepared
 *	  statements, binary parameters and results.
 *
 *	vector_client CONNECTION BASE QUERIES TRUTH
 *
 * The row of BASE with number i is the item with id i + 1.  Commands:
 *
 *	do SQL						run it
 *	share						this program and its session keep to one CPU: they
 *								take turns, and waking another costs a virtual
 *								machine tens of microseconds
 *	search TYPE SQL				the statement of pass, during and first: $1 is the
 *								query, real[], vector or bytea by TYPE, $2 an integer
 *								if there is one; its first column is the item
 *	pass EF						all queries once; recall; cpu: of the backend;
 *								wall, median, p99, longest: us a query
 *	during SECONDS EF			queries, over and over; n, cpu, wall, ...
 *	until EF					the same until a line comes, which is not looked at
 *	batch N SQL					all queries, N at a call: $1 is their flat array,
 *								its columns the query's number, from 1, and the item;
 *								recall, cpu, wall: us a query
 *	first EF					connect, prepare and ask once; connect, search: us
 *	insert FROM TO TYPE SQL		rows [FROM, TO), a statement and commit each: $1 is
 *								the vector, $2 the id; rate: rows a second; cpu: of
 *								the backend, us a row; wall, median, ...: us a commit
 *	copy FROM TO N SPACE GRAPH	the same by binary COPY into graphmem.embeddings, N
 *								rows a commit; cpu: us a row
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE
#include <libpq-fe.h>
#include <poll.h>
#include <sched.h>

#include "vector.h"

#define BYTEA_OID	17
#define FLOAT4_OID	700
#define INT4_OID	23
#define INT8_OID	20
#define FLOAT4_ARRAY_OID	1021

/* what parameters are */
typedef enum Form
{
	ARRAY,						/* real[] */
	VECTOR,						/* pgvector's type */
	BYTES						/* bytea of floats as they lie in memory, lowest byte first */
} Form;

typedef struct Client
{
	const char *connection;
	PGconn	   *conn;
	Rows		base;
	Rows		queries;
	Truth		truth;
	Form		form;
	Oid			oid;			/* of the parameter */
	char	   *statement;		/* of search */
	int			parameters;
	char	   *encoded;		/* of each query */
	int			bytes;			/* of one */
} Client;

static char *
put2(char *to, uint16_t value)
{
	*to++ = (char) (value >> 8);
	*to++ = (char) value;
	return to;
}

static char *
put4(char *to, uint32_t value)
{
	to = put2(to, (uint16_t) (value >> 16));
	return put2(to, (uint16_t) value);
}

static char *
put8(char *to, uint64_t value)
{
	to = put4(to, (uint32_t) (value >> 32));
	return put4(to, (uint32_t) value);
}

static char *
put_float(char *to, float value)
{
	uint32_t	bits;

	memcpy(&bits, &value, 4);
	return put4(to, bits);
}

static int64_t
get_integer(const PGresult *result, int row, int column)
{
	const unsigned char *p = (const unsigned char *) PQgetvalue(result, row, column);
	uint64_t	value = 0;
	int			bytes = PQgetlength(result, row, column);

	for (int i = 0; i < bytes; i++)
		value = value << 8 | p[i];
	return bytes == 4 ? (int32_t) value : (int64_t) value;
}

static size_t
encoded_bytes(Form form, int n)
{
	switch (form)
	{
		case VECTOR:
			return 4 + (size_t) n * 4;
		case BYTES:
			return (size_t) n * 4;
		default:
			return 20 + (size_t) n * 8;
	}
}

static char *
encode(char *to, Form form, const float *value, int n)
{
	if (form == BYTES)
	{
		memcpy(to, value, (size_t) n * 4);
		return to + (size_t) n * 4;
	}
	if (form == VECTOR)
	{
		to = put2(to, (uint16_t) n);
		to = put2(to, 0);
		for (int i = 0; i < n; i++)
			to = put_float(to, value[i]);
		return to;
	}
	to = put4(to, 1);			/* dimensions */
	to = put4(to, 0);			/* no nulls */
	to = put4(to, FLOAT4_OID);
	to = put4(to, (uint32_t) n);
	to = put4(to, 1);			/* lower bound */
	for (int i = 0; i < n; i++)
	{
		to = put4(to, 4);
		to = put_float(to, value[i]);
	}
	return to;
}

static PGresult *
expect(PGconn *conn, PGresult *result, ExecStatusType status)
{
	if (PQresultStatus(result) != status)
		fail("the server says", PQerrorMessage(conn));
	return result;
}

static void
run(Client *c, const char *sql)
{
	PGresult   *result = PQexec(c->conn, sql);

	if (PQresultStatus(result) != PGRES_COMMAND_OK && PQresultStatus(result) != PGRES_TUPLES_OK)
		fail(sql, PQerrorMessage(c->conn));
	PQclear(result);
}

static PGconn *
connect_to(const char *connection)
{
	PGconn	   *conn = PQconnectdb(connection);

	if (PQstatus(conn) != CONNECTION_OK)
		fail("could not connect", PQerrorMessage(conn));
	return conn;
}

/* seconds of CPU; the kernel counts a process when it goes to sleep */
static double
backend_cpu(Client *c)
{
	char		path[64];
	FILE	   *file;
	double		ns = 0;

	usleep(2000);
	snprintf(path, sizeof(path), "/proc/%d/schedstat", PQbackendPID(c->conn));
	file = fopen(path, "r");
	if (file == NULL || fscanf(file, "%lf", &ns) != 1)
		fail("could not read", path);
	fclose(file);
	return ns * 1e-9;
}

static void
share_cpu(Client *c)
{
	cpu_set_t	one;

	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	if (sched_setaffinity(0, sizeof(one), &one) != 0 ||
		sched_setaffinity(PQbackendPID(c->conn), sizeof(one), &one) != 0)
		fail("could not share", "a CPU");
	printf("done=1 ");
}

static void
set_type(Client *c, const char *type)
{
	c->form = strcmp(type, "vector") == 0 ? VECTOR : strcmp(type, "bytea") == 0 ? BYTES : ARRAY;
	c->oid = c->form == BYTES ? BYTEA_OID : FLOAT4_ARRAY_OID;
	if (c->form == VECTOR)
	{
		PGresult   *result = expect(c->conn, PQexec(c->conn, "SELECT 'vector'::regtype::oid"), PGRES_TUPLES_OK);

		c->oid = (Oid) strtoul(PQgetvalue(result, 0, 0), NULL, 10);
		PQclear(result);
	}
}

static void
prepare(PGconn *conn, const char *name, const char *sql, Oid first, Oid second, int n)
{
	Oid			types[2] = {first, second};
	PGresult   *result = PQprepare(conn, name, sql, n, types);

	PQclear(expect(conn, result, PGRES_COMMAND_OK));
}

static void
set_search(Client *c, const char *type, const char *sql)
{
	char	   *to;

	set_type(c, type);
	free(c->statement);
	free(c->encoded);
	c->statement = strdup(sql);
	c->parameters = strstr(sql, "$2") != NULL ? 2 : 1;
	c->bytes = (int) encoded_bytes(c->form, c->queries.dim);
	c->encoded = to = (char *) must_alloc((size_t) c->bytes * c->queries.n);
	for (int q = 0; q < c->queries.n; q++)
		to = encode(to, c->form, row_at(&c->queries, q), c->queries.dim);
	run(c, "DEALLOCATE ALL");
	prepare(c->conn, "search", sql, c->oid, INT4_OID, c->parameters);
}

static PGresult *
ask(Client *c, PGconn *conn, int query, int ef)
{
	char		number[4];
	const char *values[2] = {c->encoded + (size_t) query * c->bytes, number};
	int			lengths[2] = {c->bytes, 4};
	int			formats[2] = {1, 1};

	put4(number, (uint32_t) ef);
	return expect(conn, PQexecPrepared(conn, "search", c->parameters, values, lengths, formats, 1), PGRES_TUPLES_OK);
}

static void
pass(Client *c, int ef)
{
	int			n = c->queries.n,
				k = c->truth.k;
	int64_t    *found = (int64_t *) must_alloc((size_t) n * k * sizeof(int64_t));
	double	   *seconds = (double *) must_alloc(n * sizeof(double));
	double		cpu;

	memset(found, 0xff, (size_t) n * k * sizeof(int64_t));
	PQclear(ask(c, c->conn, 0, ef));	/* plans */
	cpu = backend_cpu(c);
	for (int q = 0; q < n; q++)
	{
		double		begin = wall_now();
		PGresult   *result = ask(c, c->conn, q, ef);
		int			rows = PQntuples(result);

		for (int i = 0; i < rows && i < k; i++)
			found[(size_t) q * k + i] = get_integer(result, i, 0) - 1;
		PQclear(result);
		seconds[q] = wall_now() - begin;
	}
	cpu = (backend_cpu(c) - cpu) / n * 1e6;
	printf("recall=%.5f cpu=%.3f ", recall_of(&c->truth, found), cpu);
	print_times(seconds, n);
	free(found);
	free(seconds);
}

static int
line_waits(void)
{
	struct pollfd in = {.fd = STDIN_FILENO,.events = POLLIN};

	return poll(&in, 1, 0) > 0;
}

/* how_long 0: until a line waits; it is taken */
static void
during(Client *c, double how_long, int ef)
{
	int			n = 0,
				room = 1 << 24;
	double	   *seconds = (double *) must_alloc(room * sizeof(double));
	double		cpu = backend_cpu(c),
				until = wall_now() + how_long,
				end = 0;
	char		line[20];

	for (; n < room && (how_long > 0 ? end < until : n == 0 || !line_waits()); n++)
	{
		double		begin = wall_now();

		PQclear(ask(c, c->conn, n % c->queries.n, ef));
		end = wall_now();
		seconds[n] = end - begin;
	}
	cpu = (backend_cpu(c) - cpu) / n * 1e6;
	if (how_long == 0 && fgets(line, sizeof(line), stdin) == NULL)
		fail("no line", "until");
	printf("cpu=%.3f ", cpu);
	print_times(seconds, n);
	free(seconds);
}

static void
batch(Client *c, int at_once, const char *sql)
{
	int			n = c->queries.n,
				k = c->truth.k,
				dim = c->queries.dim;
	int64_t    *found = (int64_t *) must_alloc((size_t) n * k * sizeof(int64_t));
	int		   *count = (int *) must_alloc(n * sizeof(int));
	char	   *flat = (char *) must_alloc(encoded_bytes(ARRAY, at_once * dim));
	double		cpu,
				wall = 0;

	memset(found, 0xff, (size_t) n * k * sizeof(int64_t));
	memset(count, 0, n * sizeof(int));
	prepare(c->conn, "batch", sql, FLOAT4_ARRAY_OID, 0, 1);
	cpu = backend_cpu(c);
	for (int from = 0; from < n; from += at_once)
	{
		int			many = n - from < at_once ? n - from : at_once;
		const char *values[1] = {flat};
		int			lengths[1] = {(int) (encode(flat, ARRAY, row_at(&c->queries, from), many * dim) - flat)};
		int			formats[1] = {1};
		double		begin = wall_now();
		PGresult   *result = expect(c->conn, PQexecPrepared(c->conn, "batch", 1, values, lengths, formats, 1),
									PGRES_TUPLES_OK);

		wall += wall_now() - begin;
		for (int i = 0; i < PQntuples(result); i++)
		{
			int64_t		q = from + get_integer(result, i, 0) - 1;

			if (q < from || q >= from + many)
				fail("a query's number is out of range", sql);
			if (count[q] < k)
				found[q * k + count[q]++] = get_integer(result, i, 1) - 1;
		}
		PQclear(result);
	}
	cpu = (backend_cpu(c) - cpu) / n * 1e6;
	printf("recall=%.5f cpu=%.3f wall=%.3f ", recall_of(&c->truth, found), cpu, wall / n * 1e6);
	run(c, "DEALLOCATE batch");
	free(found);
	free(count);
	free(flat);
}

static void
first(Client *c, int ef)
{
	double		begin = wall_now();
	PGconn	   *conn = connect_to(c->connection);
	double		connected = wall_now();

	prepare(conn, "search", c->statement, c->oid, INT4_OID, c->parameters);
	PQclear(ask(c, conn, 0, ef));
	printf("connect=%.3f search=%.3f ", (connected - begin) * 1e6, (wall_now() - connected) * 1e6);
	PQfinish(conn);
}

static void
insert(Client *c, int from, int to, const char *type, const char *sql)
{
	double	   *seconds = (double *) must_alloc((to - from) * sizeof(double));
	char	   *value;
	double		cpu,
				start,
				wall;

	set_type(c, type);
	value = (char *) must_alloc(encoded_bytes(c->form, c->base.dim));
	prepare(c->conn, "insert", sql, c->oid, INT8_OID, 2);
	cpu = backend_cpu(c);
	start = wall_now();
	for (int row = from; row < to; row++)
	{
		char		id[8];
		const char *values[2] = {value, id};
		int			lengths[2] = {(int) (encode(value, c->form, row_at(&c->base, row), c->base.dim) - value), 8};
		int			formats[2] = {1, 1};
		double		begin = wall_now();

		put8(id, (uint64_t) row + 1);
		PQclear(expect(c->conn, PQexecPrepared(c->conn, "insert", 2, values, lengths, formats, 1), PGRES_COMMAND_OK));
		seconds[row - from] = wall_now() - begin;
	}
	wall = wall_now() - start;
	cpu = (backend_cpu(c) - cpu) / (to - from) * 1e6;
	printf("rate=%.1f cpu=%.3f ", (to - from) / wall, cpu);
	print_times(seconds, to - from);
	run(c, "DEALLOCATE insert");
	free(seconds);
	free(value);
}

static void
copy_some(Client *c, int from, int to, int space, int graph, char *buffer)
{
	static const char signature[] = "PGCOPY\n\377\r\n";	/* and its zero byte */
	int			length = (int) encoded_bytes(ARRAY, c->base.dim);
	char	   *p = buffer;

	PQclear(expect(c->conn, PQexec(c->conn, "COPY graphmem.embeddings (space_id, item_id, graph_id, embedding)"
								   " FROM STDIN (FORMAT binary)"), PGRES_COPY_IN));
	memcpy(p, signature, sizeof(signature));
	p = put8(p + sizeof(signature), 0);
	for (int row = from; row < to; row++)
	{
		p = put2(p, 4);
		p = put4(put4(p, 4), (uint32_t) space);
		p = put8(put4(p, 8), (uint64_t) row + 1);
		p = put4(put4(p, 4), (uint32_t) graph);
		p = encode(put4(p, (uint32_t) length), ARRAY, row_at(&c->base, row), c->base.dim);
	}
	p = put2(p, UINT16_MAX);
	if (PQputCopyData(c->conn, buffer, (int) (p - buffer)) != 1 || PQputCopyEnd(c->conn, NULL) != 1)
		fail("COPY", PQerrorMessage(c->conn));
	PQclear(expect(c->conn, PQgetResult(c->conn), PGRES_COMMAND_OK));
	while (PQgetResult(c->conn) != NULL)
		;
}

static void
copy(Client *c, int from, int to, int at_once, int space, int graph)
{
	int			commits = (to - from + at_once - 1) / at_once;
	double	   *seconds = (double *) must_alloc(commits * sizeof(double));
	char	   *buffer = (char *) must_alloc(64 + (encoded_bytes(ARRAY, c->base.dim) + 64) * at_once);
	double		cpu = backend_cpu(c),
				start = wall_now(),
				wall;

	for (int i = 0; i < commits; i++)
	{
		int			begin = from + i * at_once;
		double		began = wall_now();

		copy_some(c, begin, begin + at_once < to ? begin + at_once : to, space, graph, buffer);
		seconds[i] = wall_now() - began;
	}
	wall = wall_now() - start;
	cpu = (backend_cpu(c) - cpu) / (to - from) * 1e6;
	printf("rate=%.1f cpu=%.3f ", (to - from) / wall, cpu);
	print_times(seconds, commits);
	free(seconds);
	free(buffer);
}

static void
obey(Client *c, const char *line)
{
	char		type[20];
	int			a,
				b,
				n,
				space,
				graph,
				at = 0;
	double		how_long;

	if (strncmp(line, "do ", 3) == 0)
	{
		run(c, line + 3);
		printf("done=1 ");
	}
	else if (strcmp(line, "share") == 0)
		share_cpu(c);
	else if (sscanf(line, "search %19s %n", type, &at) == 1 && at > 0)
	{
		set_search(c, type, line + at);
		printf("done=1 ");
	}
	else if (sscanf(line, "pass %d", &a) == 1)
		pass(c, a);
	else if (sscanf(line, "until %d", &a) == 1)
		during(c, 0, a);
	else if (sscanf(line, "during %lf %d", &how_long, &a) == 2 && how_long > 0)
		during(c, how_long, a);
	else if (sscanf(line, "batch %d %n", &n, &at) == 1 && at > 0)
		batch(c, n, line + at);
	else if (sscanf(line, "first %d", &a) == 1)
		first(c, a);
	else if (sscanf(line, "insert %d %d %19s %n", &a, &b, type, &at) == 3 && at > 0 && a < b && b <= c->base.n)
		insert(c, a, b, type, line + at);
	else if (sscanf(line, "copy %d %d %d %d %d", &a, &b, &n, &space, &graph) == 5 && a < b && b <= c->base.n && n > 0)
		copy(c, a, b, n, space, graph);
	else
		fail("unknown command", line);
}

int
main(int argc, char **argv)
{
	Client		c = {0};
	char		line[2000];

	if (argc != 5)
		fail("usage", "vector_client CONNECTION BASE QUERIES TRUTH");
	c.connection = argv[1];
	c.conn = connect_to(c.connection);
	c.base = read_rows(argv[2]);
	c.queries = read_rows(argv[3]);
	c.truth = read_truth(argv[4]);
	if (c.queries.dim != c.base.dim || c.truth.queries != c.queries.n)
		fail("these do not fit", argv[2]);
	printf("ready=1 ");
	while (next_command(line, sizeof(line)))
		obey(&c, line);
	PQfinish(c.conn);
	return 0;
}
