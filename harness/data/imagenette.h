/* The classes of ImageNette. */
#ifndef PG_DATA_IMAGENETTE_H
#define PG_DATA_IMAGENETTE_H

/* The name that ImageNette gives to one of its folders, which are called by WordNet ids: "tench" of "n01440764"; NULL: none of
 * them. */
const char *pg_imagenette_name(const char *id);

#endif
