/* The values of the kept elements (SPEC section 3). */
#ifndef THIMBLE_VALUES_H
#define THIMBLE_VALUES_H

#include "groups.h"
#include "rows.h"

typedef struct {
    const th_row *row;
    const th_book *book;
    uint64_t skipped;
    const uint8_t *plain;   /* raw and half */
    th_symbols streams[8];  /* planes; the first alone for a codebook */
    uint32_t stream_count;
    th_groups groups;
    uint16_t symbols[TH_CHUNK];
} th_items;

int th_items_open(th_items *items, th_cursor *cursor, th_row *row, const th_pool *pool);
int th_items_read(th_items *items, const uint64_t *places, uint8_t *out, uint64_t count);
int th_items_end(const th_items *items);
void th_items_close(th_items *items);

#endif
