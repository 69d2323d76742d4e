/*-------------------------------------------------------------------------
 *
 * topology_spec.c
 *	  What refresh_topology is asked for, as arguments, as JSON and as options
 *	  of compute/topology.h.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/shortest_dec.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/numeric.h"

#include "worker/topology_spec.h"
#include "compute/csr.h"
#include "core/space_index.h"
#include "error.h"

#define BIT(method)		(1 << (method))
#define SPECTRAL		BIT(GM_TOPOLOGY_SPECTRAL)
#define WALK			BIT(GM_TOPOLOGY_WALK)
#define PRONE			BIT(GM_TOPOLOGY_PRONE)
#define FASTRP			BIT(GM_TOPOLOGY_FASTRP)
#define SMOOTH			BIT(GM_TOPOLOGY_SMOOTH)
#define ALL_METHODS		(SPECTRAL | WALK | PRONE | FASTRP | SMOOTH)

#define ROUND_UP(bytes)	(((bytes) + 63) & ~(size_t) 63)

/* those that GmTopologyOpts does not have */
#define WEIGHTS			"weights"
#define ALIGN			"align"

typedef enum OptionType
{
	UINT32,
	FLOAT,
	DOUBLE
} OptionType;

typedef struct Option
{
	const char *name;
	int			methods;		/* that have it */
	OptionType	type;
	size_t		offset;
	double		least;
	double		most;
} Option;

#define OPTION(field, methods, type, least, most) \
	{#field, methods, type, offsetof(GmTopologyOpts, field), least, most}

/* ranges as good_opts of compute/ has them */
static const Option options[] = {
	OPTION(iterations, SPECTRAL, UINT32, 1, 100),
	OPTION(iterations, PRONE, UINT32, 0, 100),
	OPTION(iterations, SMOOTH, UINT32, 1, 1000),
	OPTION(oversampling, SPECTRAL | WALK | PRONE, UINT32, 0, 128),
	OPTION(tolerance, SPECTRAL, DOUBLE, 0, 1),
	OPTION(regularization, SPECTRAL, DOUBLE, 0, 100),
	OPTION(value_exponent, SPECTRAL | PRONE, DOUBLE, 0, 2),
	OPTION(window, WALK, UINT32, 1, 100),
	OPTION(negative, WALK, DOUBLE, 1e-6, 1e6),
	OPTION(landmarks, WALK, UINT32, 0, INT32_MAX),
	OPTION(order, PRONE, UINT32, 2, 32),
	OPTION(mu, PRONE, DOUBLE, -2, 2),
	OPTION(theta, PRONE, DOUBLE, 0, 10),
	OPTION(negative_exponent, PRONE, DOUBLE, 0, 2),
	OPTION(self_weight, FASTRP, FLOAT, -1e6, 1e6),
	OPTION(degree_exponent, FASTRP, DOUBLE, -2, 2),
	OPTION(damping, SMOOTH, DOUBLE, 0, 1),
};

typedef struct MethodName
{
	const char *name;
	GmTopologyMethod method;
} MethodName;

/* the first of a method is what it is called */
static const MethodName methods[] = {
	{"spectral", GM_TOPOLOGY_SPECTRAL},
	{"walk", GM_TOPOLOGY_WALK},
	{"propagation", GM_TOPOLOGY_PRONE},
	{"fastrp", GM_TOPOLOGY_FASTRP},
	{"smooth", GM_TOPOLOGY_SMOOTH},
	{"netmf", GM_TOPOLOGY_WALK},
	{"prone", GM_TOPOLOGY_PRONE},
};

const char *
gm_topology_method_name(GmTopologyMethod method)
{
	for (size_t i = 0; i < lengthof(methods); i++)
		if (methods[i].method == method)
			return methods[i].name;
	return NULL;
}

static bool
find_method(const char *name, GmTopologyMethod *method)
{
	for (size_t i = 0; i < lengthof(methods); i++)
		if (strcmp(methods[i].name, name) == 0)
		{
			*method = methods[i].method;
			return true;
		}
	return false;
}

/* ---- from JSON ---- */

/*
 * Reading stops at what is wrong: key is its name, and the rest says how, as
 * gm_topology_spec_make reports it.
 */
typedef enum Wrong
{
	NOTHING = 0,
	UNKNOWN_KEY,
	OTHER_METHOD,
	NOT_A_NUMBER,
	NOT_WHOLE,
	OUT_OF_RANGE,
	NOT_A_BOOLEAN,
	NOT_AN_ARRAY
} Wrong;

typedef struct Complaint
{
	Wrong		wrong;
	char	   *key;
	double		least;
	double		most;
} Complaint;

static bool
complain(Complaint *complaint, Wrong wrong, double least, double most)
{
	complaint->wrong = wrong;
	complaint->least = least;
	complaint->most = most;
	return false;
}

static double
number_of(const JsonbValue *value)
{
	return DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow,
											  NumericGetDatum(value->val.numeric)));
}

static bool
read_number(const JsonbValue *value, double least, double most, bool whole, double *number,
			Complaint *complaint)
{
	if (value->type != jbvNumeric)
		return complain(complaint, NOT_A_NUMBER, least, most);
	*number = number_of(value);
	if (!(*number >= least && *number <= most))
		return complain(complaint, OUT_OF_RANGE, least, most);
	if (whole && *number != rint(*number))
		return complain(complaint, NOT_WHOLE, least, most);
	return true;
}

static bool
read_bool(const JsonbValue *value, bool *result, Complaint *complaint)
{
	if (value->type != jbvBool)
		return complain(complaint, NOT_A_BOOLEAN, 0, 0);
	*result = value->val.boolean;
	return true;
}

static bool
read_weights(const JsonbValue *value, GmTopologyOpts *opts, Complaint *complaint)
{
	JsonbContainer *array = value->type == jbvBinary ? value->val.binary.data : NULL;
	uint32		n = array != NULL && JsonContainerIsArray(array) ? JsonContainerSize(array) : 0;

	if (n < 1 || n > GM_TOPOLOGY_MAX_POWERS)
		return complain(complaint, NOT_AN_ARRAY, 1, GM_TOPOLOGY_MAX_POWERS);
	opts->powers = n;
	memset(opts->power_weights, 0, sizeof(opts->power_weights));
	for (uint32 i = 0; i < n; i++)
	{
		double		number;

		if (!read_number(getIthJsonbValueFromContainer(array, i), -1e6, 1e6, false, &number,
						 complaint))
			return false;
		opts->power_weights[i] = (float) number;
	}
	return true;
}

static bool
read_option(const char *key, const JsonbValue *value, GmTopologySpec *spec, Complaint *complaint)
{
	GmTopologyOpts *opts = &spec->opts;
	bool		known = strcmp(key, WEIGHTS) == 0;

	if (strcmp(key, "normalize") == 0)
		return read_bool(value, &opts->normalize, complaint);
	if (strcmp(key, ALIGN) == 0)
		return read_bool(value, &spec->align, complaint);
	if (known && opts->method == GM_TOPOLOGY_FASTRP)
		return read_weights(value, opts, complaint);
	for (size_t i = 0; i < lengthof(options); i++)
	{
		const Option *o = &options[i];
		double		number;

		if (strcmp(o->name, key) != 0)
			continue;
		known = true;
		if ((o->methods & BIT(opts->method)) == 0)
			continue;
		if (!read_number(value, o->least, o->most, o->type == UINT32, &number, complaint))
			return false;
		if (o->type == UINT32)
			*(uint32_t *) ((char *) opts + o->offset) = (uint32_t) number;
		else if (o->type == FLOAT)
			*(float *) ((char *) opts + o->offset) = (float) number;
		else
			*(double *) ((char *) opts + o->offset) = number;
		return true;
	}
	return complain(complaint, known ? OTHER_METHOD : UNKNOWN_KEY, 0, 0);
}

static bool
read_options(JsonbContainer *object, GmTopologySpec *spec, Complaint *complaint)
{
	JsonbIterator *iter = JsonbIteratorInit(object);
	JsonbIteratorToken token;
	JsonbValue	key;
	JsonbValue	value;

	while ((token = JsonbIteratorNext(&iter, &key, true)) != WJB_DONE)
	{
		if (token != WJB_KEY)
			continue;
		complaint->key = pnstrdup(key.val.string.val, key.val.string.len);
		(void) JsonbIteratorNext(&iter, &value, true);
		if (!read_option(complaint->key, &value, spec, complaint))
			return false;
	}
	return true;
}

static void
set_defaults(GmTopologyMethod method, int dim, GmTopologySpec *spec)
{
	memset(spec, 0, sizeof(*spec));
	gm_topology_defaults(&spec->opts, method);
	spec->opts.dim = (uint32_t) dim;
	if (method == GM_TOPOLOGY_WALK)
		spec->opts.oversampling = Min((uint32_t) dim / 4, 128);
	spec->n_predicates = -1;
	spec->align = true;
}

/* ---- from arguments ---- */

static char *
method_list(int of)
{
	StringInfoData list;

	initStringInfo(&list);
	for (int m = 0; m <= GM_TOPOLOGY_SMOOTH; m++)
		if (of & BIT(m))
			appendStringInfo(&list, "%s\"%s\"", list.len > 0 ? ", " : "",
							 gm_topology_method_name((GmTopologyMethod) m));
	return list.data;
}

static char *
methods_with(const char *key)
{
	int			which = strcmp(key, WEIGHTS) == 0 ? FASTRP : 0;

	for (size_t i = 0; i < lengthof(options); i++)
		if (strcmp(options[i].name, key) == 0)
			which |= options[i].methods;
	return method_list(which);
}

static char *
option_list(GmTopologyMethod method)
{
	StringInfoData list;

	initStringInfo(&list);
	for (size_t i = 0; i < lengthof(options); i++)
		if (options[i].methods & BIT(method))
			appendStringInfo(&list, "\"%s\", ", options[i].name);
	if (method == GM_TOPOLOGY_FASTRP)
		appendStringInfoString(&list, "\"" WEIGHTS "\", ");
	appendStringInfoString(&list, "\"normalize\", \"" ALIGN "\"");
	return list.data;
}

static void
report(const Complaint *c, GmTopologyMethod method)
{
	char	   *key = gm_error_quote(c->key, strlen(c->key));

	switch (c->wrong)
	{
		case NOTHING:
			return;
		case UNKNOWN_KEY:
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("unknown option \"%s\"", key),
					 errhint("Method \"%s\" has the options %s.", gm_topology_method_name(method),
							 option_list(method))));
			break;
		case OTHER_METHOD:
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("option \"%s\" is not one of method \"%s\"", key,
							gm_topology_method_name(method)),
					 errdetail("It belongs to %s.", methods_with(c->key)),
					 errhint("Method \"%s\" has the options %s.", gm_topology_method_name(method),
							 option_list(method))));
			break;
		case NOT_A_NUMBER:
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("option \"%s\" must be a number", key)));
			break;
		case NOT_WHOLE:
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("option \"%s\" must be a whole number", key)));
			break;
		case OUT_OF_RANGE:
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("option \"%s\" must be between %.10g and %.10g", key, c->least, c->most)));
			break;
		case NOT_A_BOOLEAN:
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("option \"%s\" must be true or false", key)));
			break;
		case NOT_AN_ARRAY:
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("option \"%s\" must be an array of %g to %g numbers", key, c->least,
							c->most)));
			break;
	}
}

void
gm_topology_spec_set(GmTopologySpec *spec, Jsonb *given)
{
	Complaint	complaint = {NOTHING, NULL, 0, 0};

	if (given == NULL)
		return;
	if (!JB_ROOT_IS_OBJECT(given))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("options must be a JSON object")));
	if (!read_options(&given->root, spec, &complaint))
		report(&complaint, spec->opts.method);
}

void
gm_topology_spec_check_dim(int dim)
{
	if (dim < 1 || dim > GM_TOPOLOGY_MAX_DIM)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("dim must be between 1 and %d", GM_TOPOLOGY_MAX_DIM)));
}

void
gm_topology_spec_make(const char *method, int dim, int64 seed, Jsonb *given,
					  GmTopologySpec *spec)
{
	GmTopologyMethod which;

	if (!find_method(method, &which))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("unknown method \"%s\"", gm_error_quote(method, strlen(method))),
				 errhint("Methods are %s.", method_list(ALL_METHODS))));
	gm_topology_spec_check_dim(dim);
	set_defaults(which, dim, spec);
	spec->opts.seed = (uint64_t) seed;
	gm_topology_spec_set(spec, given);
}

/* ---- to JSON ---- */

/* the shortest that gives the same number again, whatever the session's settings */
static void
put_double(StringInfo json, double number)
{
	char		buffer[DOUBLE_SHORTEST_DECIMAL_LEN];

	double_to_shortest_decimal_buf(number, buffer);
	appendStringInfoString(json, buffer);
}

static void
put_float(StringInfo json, float number)
{
	char		buffer[FLOAT_SHORTEST_DECIMAL_LEN];

	float_to_shortest_decimal_buf(number, buffer);
	appendStringInfoString(json, buffer);
}

static void
put_options(StringInfo json, const GmTopologySpec *spec)
{
	const GmTopologyOpts *opts = &spec->opts;

	for (size_t i = 0; i < lengthof(options); i++)
	{
		const Option *o = &options[i];
		const char *field = (const char *) opts + o->offset;

		if ((o->methods & BIT(opts->method)) == 0)
			continue;
		appendStringInfo(json, "\"%s\": ", o->name);
		if (o->type == UINT32)
			appendStringInfo(json, "%u", *(const uint32_t *) field);
		else if (o->type == FLOAT)
			put_float(json, *(const float *) field);
		else
			put_double(json, *(const double *) field);
		appendStringInfoString(json, ", ");
	}
	if (opts->method == GM_TOPOLOGY_FASTRP)
	{
		appendStringInfoString(json, "\"" WEIGHTS "\": [");
		for (uint32_t i = 0; i < opts->powers; i++)
		{
			appendStringInfoString(json, i > 0 ? ", " : "");
			put_float(json, opts->power_weights[i]);
		}
		appendStringInfoString(json, "], ");
	}
	appendStringInfo(json, "\"normalize\": %s, \"" ALIGN "\": %s",
					 opts->normalize ? "true" : "false", spec->align ? "true" : "false");
}

char *
gm_topology_spec_json(const GmTopologySpec *spec)
{
	StringInfoData json;

	initStringInfo(&json);
	appendStringInfo(&json, "{\"method\": \"%s\", \"dim\": %u, \"seed\": " INT64_FORMAT
					 ", \"weighted\": %s, \"space\": ",
					 gm_topology_method_name(spec->opts.method), spec->opts.dim,
					 (int64) spec->opts.seed, spec->weighted ? "true" : "false");
	escape_json(&json, spec->space);
	appendStringInfoString(&json, ", \"source_space\": ");
	if (spec->given == NULL)
		appendStringInfoString(&json, "null");
	else
		escape_json(&json, spec->given);
	appendStringInfoString(&json, ", \"predicates\": ");
	if (spec->n_predicates < 0)
		appendStringInfoString(&json, "null");
	else
	{
		appendStringInfoChar(&json, '[');
		for (int i = 0; i < spec->n_predicates; i++)
		{
			appendStringInfoString(&json, i > 0 ? ", " : "");
			escape_json(&json, spec->predicates[i]);
		}
		appendStringInfoChar(&json, ']');
	}
	appendStringInfoString(&json, ", \"options\": {");
	put_options(&json, spec);
	appendStringInfoString(&json, "}}");
	return json.data;
}

/* ---- and back ---- */

/* NULL: there is none of that type */
static JsonbValue *
member(Jsonb *json, const char *key, enum jbvType type)
{
	JsonbValue *value = getKeyJsonValueFromContainer(&json->root, key, (int) strlen(key), NULL);

	return value != NULL && value->type == type ? value : NULL;
}

/* NULL likewise */
static char *
text_member(Jsonb *json, const char *key)
{
	JsonbValue *value = member(json, key, jbvString);

	return value == NULL ? NULL : pnstrdup(value->val.string.val, value->val.string.len);
}

static bool
parse_predicates(Jsonb *json, GmTopologySpec *spec)
{
	JsonbValue *value = member(json, "predicates", jbvBinary);

	if (value == NULL)
		return member(json, "predicates", jbvNull) != NULL;
	if (!JsonContainerIsArray(value->val.binary.data))
		return false;
	spec->n_predicates = (int) JsonContainerSize(value->val.binary.data);
	spec->predicates = palloc((spec->n_predicates + 1) * sizeof(char *));
	for (int i = 0; i < spec->n_predicates; i++)
	{
		JsonbValue *name = getIthJsonbValueFromContainer(value->val.binary.data, i);

		if (name->type != jbvString)
			return false;
		spec->predicates[i] = pnstrdup(name->val.string.val, name->val.string.len);
	}
	return true;
}

static bool
parse_options(Jsonb *json, GmTopologySpec *spec)
{
	JsonbValue *value = member(json, "options", jbvBinary);
	Complaint	complaint;

	return value != NULL && JsonContainerIsObject(value->val.binary.data) &&
		read_options(value->val.binary.data, spec, &complaint);
}

/* as whole numbers of 64 bits, which a double does not hold */
static bool
parse_seed(Jsonb *json, uint64_t *seed)
{
	JsonbValue *value = member(json, "seed", jbvNumeric);
	char	   *digits;
	char	   *end;

	if (value == NULL)
		return false;
	digits = DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric)));
	errno = 0;
	*seed = (uint64_t) strtoll(digits, &end, 10);
	return errno == 0 && *end == '\0';
}

bool
gm_topology_spec_parse(const char *text, GmTopologySpec *spec)
{
	Jsonb	   *json = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(text)));
	GmTopologyMethod which;
	char	   *method;
	JsonbValue *dim;
	JsonbValue *weighted;
	double		number;
	Complaint	complaint;

	if (!JB_ROOT_IS_OBJECT(json))
		return false;
	method = text_member(json, "method");
	dim = member(json, "dim", jbvNumeric);
	if (method == NULL || dim == NULL || !find_method(method, &which) ||
		!read_number(dim, 1, GM_TOPOLOGY_MAX_DIM, true, &number, &complaint))
		return false;
	set_defaults(which, (int) number, spec);
	weighted = member(json, "weighted", jbvBool);
	spec->space = text_member(json, "space");
	spec->given = text_member(json, "source_space");
	if (weighted == NULL || spec->space == NULL ||
		(spec->given != NULL) != (which == GM_TOPOLOGY_SMOOTH))
		return false;
	spec->weighted = weighted->val.boolean;
	return parse_seed(json, &spec->opts.seed) && parse_predicates(json, spec) &&
		parse_options(json, spec);
}

/* ---- memory ---- */

size_t
gm_topology_spec_bytes(const GmTopologySpec *spec, uint32_t nodes, uint64_t edges)
{
	GmCsrOpts	csr = {.weighted = spec->weighted};
	size_t		bytes = gm_csr_bytes(&csr, nodes, edges) + ROUND_UP((size_t) nodes * sizeof(uint64_t));

	if (spec->opts.method == GM_TOPOLOGY_SMOOTH)
		bytes += ROUND_UP((size_t) nodes * spec->opts.dim * sizeof(float));
	return bytes + gm_topology_bytes(&spec->opts, nodes, 2 * edges);
}

/* ids, places, scales, the way back from the node; slack of arrays */
#define ROW_BYTES		48

/* code, 32 links of layer 0, their length, the layers above */
#define NODE_BYTES(dim)	((dim) + 180)

size_t
gm_topology_space_bytes(const GmTopologySpec *spec, uint32_t nodes)
{
	size_t		dim = (spec->opts.dim + 15) / 16 * 16;
	size_t		row = dim * sizeof(float) + ROW_BYTES;

	if (nodes >= GM_SPACE_INDEX_FROM)
		row += NODE_BYTES(dim);
	return row * nodes;
}

/*
 * What it costs, in ns of one core: reading and sorting by fact, a product of the
 * sparse matrix by arc and column, dense algebra by node and pair of columns,
 * storing by node and element; and a start.  Fitted to 8 million facts of an
 * R-MAT graph at dim 128 (test/bench/quality.sh server); other shapes differ,
 * a star by eight times.
 */
#define FACT_NS			180
#define PRODUCT_NS		0.11
#define DENSE_NS		0.06
#define STORE_NS		5000
#define ELEMENT_NS		20
#define START_NS		2e7

/* products of the matrix and passes of dense algebra that a method takes */
static void
passes(const GmTopologyOpts *o, uint32_t nodes, uint64_t arcs, double *products, double *dense)
{
	switch (o->method)
	{
		case GM_TOPOLOGY_SPECTRAL:
			/* the first ones in bf16 */
			*products = 10 * o->iterations + 1;
			*dense = 2 * (o->iterations + 1);
			break;
		case GM_TOPOLOGY_WALK:
			*products = (double) o->window *
				(o->landmarks != 0 ? o->landmarks : gm_topology_landmarks(nodes, arcs)) / o->dim;
			*dense = *products / o->window * 4;
			break;
		case GM_TOPOLOGY_PRONE:
			*products = 2 * o->iterations + 2 + o->order;
			*dense = o->iterations + 4;
			break;
		case GM_TOPOLOGY_FASTRP:
			*products = o->powers;
			*dense = 0;
			break;
		case GM_TOPOLOGY_SMOOTH:
			*products = o->iterations;
			*dense = 0;
			break;
	}
}

double
gm_topology_spec_seconds(const GmTopologySpec *spec, uint32_t nodes, uint64_t edges, int members)
{
	double		dim = spec->opts.dim;
	double		arcs = 2.0 * edges;
	double		products = 0;
	double		dense = 0;
	double		ns;

	passes(&spec->opts, nodes, 2 * edges, &products, &dense);
	ns = products * (arcs + nodes) * dim * PRODUCT_NS + dense * nodes * dim * dim * DENSE_NS;
	return (START_NS + ns / Max(members, 1) + edges * (double) FACT_NS +
			nodes * (STORE_NS + dim * ELEMENT_NS)) / 1e9;
}
