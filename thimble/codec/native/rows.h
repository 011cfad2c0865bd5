/* The parts of a row: codebooks, positions and values (SPEC sections 3 and 4). */
#ifndef THIMBLE_ROWS_H
#define THIMBLE_ROWS_H

#include "streams.h"

typedef struct {
    uint64_t entries;
    uint8_t *items;  /* entries * width bytes */
    uint8_t *scales; /* channels * 4 bytes of float32, for scaled values */
} th_book;

typedef struct {
    uint32_t form;    /* th_positions */
    uint64_t place;   /* first element that is not decided */
    uint32_t single;  /* one kept element, at `place` */
    uint64_t escapes; /* to come */
    uint32_t escape;  /* symbol, or 2^32 - 1 if there is none */
    uint64_t symbols_left;
    uint32_t next;    /* symbol of the buffer to look at */
    uint32_t filled;
    uint32_t bit;     /* of the bitmap's symbol */
    th_symbols stream;
    uint16_t buffer[TH_CHUNK];
} th_places;

int th_book_read(th_book *book, th_cursor *cursor, const th_row *row);
uint32_t th_half_to_float(uint32_t half);
int th_is_half_nan(uint32_t half);
int th_places_open(th_places *places, th_cursor *cursor, th_row *row, const th_pool *pool);
int th_places_read(th_places *places, uint64_t elements, uint64_t *out, uint64_t count);
int th_places_end(th_places *places);

#endif
