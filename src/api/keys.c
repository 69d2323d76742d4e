/*-------------------------------------------------------------------------
 *
 * keys.c
 *	  Fixed-size keys of names, for the unique indexes.
 *
 * A b-tree entry holds some 2700 bytes at most, a name any number.  A key is
 *
 *	 tag 1		name						no literal type
 *	 tag 2		length of type, type, name	literal type
 *	 tag 3		SHA-256 of name				no literal type, long
 *	 tag 4		SHA-256 of type's length (4 bytes, big-endian), type, name	literal type, long
 *
 * so that short names keep their bytewise order and equal keys mean equal
 * names, for long ones as surely as nobody finds a collision of SHA-256.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/cryptohash.h"
#include "common/sha2.h"
#include "fmgr.h"

#include "compat.h"

/* Bytes of name and type up to which a key holds them as they are. */
#define GM_KEY_SHORT_BYTES 200

enum
{
	KEY_NAME = 1,
	KEY_TYPED_NAME,
	KEY_LONG_NAME,
	KEY_LONG_TYPED_NAME
};

typedef struct Bytes
{
	const uint8 *data;
	size_t		len;
} Bytes;

static bytea *
short_key(Bytes name, const Bytes *type)
{
	size_t		len = 1 + (type ? 1 + type->len : 0) + name.len;
	bytea	   *key = palloc(VARHDRSZ + len);
	uint8	   *p = (uint8 *) VARDATA(key);

	SET_VARSIZE(key, VARHDRSZ + len);
	*p++ = type ? KEY_TYPED_NAME : KEY_NAME;
	if (type)
	{
		*p++ = (uint8) type->len;
		memcpy(p, type->data, type->len);
		p += type->len;
	}
	memcpy(p, name.data, name.len);
	return key;
}

static bytea *
long_key(Bytes name, const Bytes *type)
{
	size_t		len = 1 + PG_SHA256_DIGEST_LENGTH;
	bytea	   *key = palloc(VARHDRSZ + len);
	uint8	   *p = (uint8 *) VARDATA(key);
	pg_cryptohash_ctx *sha = pg_cryptohash_create(PG_SHA256);
	bool		ok;

	SET_VARSIZE(key, VARHDRSZ + len);
	*p++ = type ? KEY_LONG_TYPED_NAME : KEY_LONG_NAME;
	ok = sha != NULL && pg_cryptohash_init(sha) >= 0;
	if (ok && type)
	{
		uint8		prefix[4] = {type->len >> 24, type->len >> 16, type->len >> 8, type->len};

		ok = pg_cryptohash_update(sha, prefix, sizeof(prefix)) >= 0 &&
			pg_cryptohash_update(sha, type->data, type->len) >= 0;
	}
	ok = ok && pg_cryptohash_update(sha, name.data, name.len) >= 0 &&
		pg_cryptohash_final(sha, p, PG_SHA256_DIGEST_LENGTH) >= 0;
	if (!ok)
		elog(ERROR, "could not compute SHA-256 of a name: %s", pg_cryptohash_error(sha));
	pg_cryptohash_free(sha);
	return key;
}

PG_FUNCTION_INFO_V1(graphmem_name_key);

/* name_key(name text, literal_type text) -> bytea; NULL for a NULL name. */
Datum
graphmem_name_key(PG_FUNCTION_ARGS)
{
	text	   *name_arg;
	text	   *type_arg = NULL;
	Bytes		name;
	Bytes		type = {NULL, 0};

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	name_arg = PG_GETARG_TEXT_PP(0);
	name.data = (const uint8 *) VARDATA_ANY(name_arg);
	name.len = VARSIZE_ANY_EXHDR(name_arg);
	if (!PG_ARGISNULL(1))
	{
		type_arg = PG_GETARG_TEXT_PP(1);
		type.data = (const uint8 *) VARDATA_ANY(type_arg);
		type.len = VARSIZE_ANY_EXHDR(type_arg);
	}
	PG_RETURN_BYTEA_P((name.len + type.len <= GM_KEY_SHORT_BYTES ? short_key : long_key)
					  (name, type_arg ? &type : NULL));
}
