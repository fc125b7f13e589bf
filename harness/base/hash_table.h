/* Hash tables by uthash: elements hold a UT_hash_handle `hh` and never move while they are in a table. Memory that runs out
 * ends nothing: an element that could not be added has hh.tbl NULL, and stays its owner's. Not thread-safe. */
#ifndef PG_BASE_HASH_TABLE_H
#define PG_BASE_HASH_TABLE_H

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#endif
