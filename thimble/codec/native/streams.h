/* Streams of symbols, decoded piece by piece (SPEC section 5). */
#ifndef THIMBLE_STREAMS_H
#define THIMBLE_STREAMS_H

#include "cursor.h"

/* Symbols that are decoded at once: a multiple of four, and small enough for the cache. */
enum { TH_CHUNK = 4096 };

typedef struct {
    uint32_t coder;
    uint32_t alphabet;
    uint64_t left;          /* symbols to come */
    uint32_t constant;      /* the symbol of all */
    uint32_t item_bytes;    /* of a stored symbol */
    uint32_t states;
    uint32_t scale;
    uint32_t code_bits;     /* longest Huffman code */
    uint32_t search;        /* rANS: look a slot up in `sums` instead of `slots` */
    uint64_t state[4];
    const uint8_t *at;
    const uint8_t *end;
    uint64_t bits;          /* Huffman: bits read but not used, from the highest on */
    uint32_t bit_count;
    uint64_t *slots;        /* rANS: symbol | frequency << 16 | (slot - sum) << 32 */
    uint16_t *entries;      /* Huffman: symbol << 4 | length */
    uint32_t *sums;         /* rANS: sum of the frequencies below each symbol */
    uint32_t contexts;      /* rANS: tables of so many classes, or 0 */
    uint32_t class;         /* of the symbol before */
    uint8_t *class_of;      /* the class of each symbol */
    uint16_t *symbol_of;    /* the symbol of each slot of each class: a fourth of `slots` */
    uint32_t *cells;        /* of each class and symbol: sum | frequency << 16 */
} th_stream;

int th_load_contexts(th_stream *stream, th_cursor *cursor);
void th_read_contexts(th_stream *stream, uint16_t *out, uint64_t count);

/* One alphabet above 4096 takes two streams: high bytes, then low bytes. */
typedef struct {
    uint32_t alphabet;
    uint32_t wide;
    th_stream low;
    th_stream high;
} th_symbols;

int th_symbols_open(th_symbols *symbols, th_cursor *cursor, uint64_t count, uint32_t alphabet,
                    const th_pool *pool, th_row *figures, int last);
int th_symbols_read(th_symbols *symbols, uint16_t *out, uint64_t count);
int th_symbols_end(const th_symbols *symbols);
void th_symbols_close(th_symbols *symbols);

#endif
