/* The entropy coder of the .thimble format: SPEC.md, sections 3 to 5, is its documentation.
 *
 * Decoding trusts nothing: every count and offset is checked before it is used. Buffers belong to
 * the caller; functions keep no state and may run on several threads at once.
 */
#ifndef THIMBLE_H
#define THIMBLE_H

#include <stddef.h>
#include <stdint.h>

enum th_fault {
    TH_OK = 0,
    TH_SHORT = 1,        /* the row ends before what it announces */
    TH_TRAILING = 2,     /* bytes or bits are left over */
    TH_VARINT = 3,       /* a varint is too long or not the shortest */
    TH_COUNT = 4,        /* a count is out of its range */
    TH_CODEBOOK = 5,     /* a codebook is not valid */
    TH_TABLE = 6,        /* a table is not a complete code or a valid curve */
    TH_POOL = 7,         /* a stream names a table that the pool does not have */
    TH_SYMBOL = 8,       /* a symbol is outside its alphabet */
    TH_POSITION = 9,     /* a kept element is outside the array */
    TH_STREAM = 10,      /* a stream does not end as it must */
    TH_UNKNOWN = 11,     /* a coder or form of a newer version */
    TH_MEMORY = 12       /* no memory for a table */
};

enum th_positions { TH_DENSE = 0, TH_GAP = 1, TH_BITMAP = 2 };
enum th_values { TH_RAW = 0, TH_HALF = 1, TH_PLANES = 2, TH_CODEBOOK_VALUES = 3, TH_SCALED = 4, TH_GROUPED = 5 };
enum th_coder { TH_CONSTANT = 0, TH_STORED = 1, TH_HUFFMAN = 2, TH_RANS = 3 };

enum {
    TH_MAX_ALPHABET = 4096,
    TH_MAX_CODE_BITS = 15,
    TH_MIN_SCALE = 8,
    TH_MAX_SCALE = 15,
    TH_MAX_TABLE_BYTES = 1 << 14
};

/* The tables that several streams use; `starts` says where each begins. */
typedef struct {
    const uint8_t *data;
    uint64_t size;
    const uint32_t *starts;
    uint64_t tables;
} th_pool;

/* One row to decode. `out` and `indices` hold `elements` items, all zero before the call.
 * `out` may be NULL where only the indices of a codebook are wanted. */
typedef struct {
    const uint8_t *data;
    uint64_t size;
    uint64_t elements;
    uint64_t channels;       /* last dimension, for scaled values */
    uint32_t positions;
    uint32_t values;
    uint32_t width;          /* bytes of an item: 1, 2, 4 or 8 */
    uint32_t index_width;    /* 0, 1 or 2 */
    uint8_t *out;
    uint8_t *indices;
    uint8_t *codebook;       /* room for `codebook_room` items, or NULL */
    uint64_t codebook_room;
    uint64_t columns;        /* 0, or: coded column by column of a matrix of so many columns */
    uint32_t floats;         /* 1 if items are float32: halves and scales stand for nothing else */
    /* Filled in by the decoder: */
    uint32_t coders;         /* bit set of 1 << th_coder */
    uint64_t kept;
    uint64_t entries;
    uint64_t codebook_bytes; /* with scales */
    uint64_t table_bytes;
    uint64_t payload_bytes;
} th_row;

int th_index_pool(const uint8_t *data, uint64_t size, uint32_t *starts, uint64_t room,
                  uint64_t *tables);
int th_decode_row(th_row *row, const th_pool *pool);

/* How to code a stream. */
typedef struct {
    uint32_t coder;
    uint32_t scale;
    uint32_t alphabet;
    uint32_t table_bytes;
    uint64_t cost_bits; /* payload and table */
    uint8_t table[TH_MAX_TABLE_BYTES];
    uint16_t codes[TH_MAX_ALPHABET]; /* rANS: frequencies; Huffman: code lengths */
} th_plan;

void th_histogram(const uint8_t *symbols, uint32_t width, uint64_t count, uint64_t *counts,
                  uint32_t alphabet);
uint64_t th_split_gaps(const uint8_t *symbols, uint32_t width, uint64_t count, uint32_t skipped,
                       uint32_t *gaps, uint16_t *values);
uint64_t th_gap_symbols(const uint32_t *gaps, uint64_t kept, uint32_t bits, uint16_t *symbols);
int th_distinct(const uint8_t *items, uint32_t width, uint64_t count, uint32_t room,
                uint64_t *entries, uint16_t *symbols);
void th_channel_histogram(const uint8_t *symbols, uint32_t width, uint64_t count, uint64_t stride,
                          uint32_t channels, uint32_t alphabet, uint32_t *counts);
uint64_t th_group_channels(const uint32_t *counts, uint32_t channels, uint32_t alphabet,
                           uint32_t groups, uint32_t rounds, uint8_t *members);
uint64_t th_kept_groups(const uint8_t *symbols, uint32_t width, uint64_t count, uint64_t stride,
                        uint32_t channels, uint32_t skipped, const uint8_t *members,
                        uint8_t *groups); /* room for one more than are kept */
int th_plan_stream(const uint64_t *counts, uint32_t alphabet, th_plan *plan);
void th_context_histogram(const uint16_t *symbols, uint64_t count, const uint8_t *class_of,
                          uint32_t alphabet, uint64_t *counts);
uint64_t th_plan_curve(const uint64_t *counts, uint32_t alphabet, uint32_t scale, th_plan *plan);
uint64_t th_encode_contexts(const uint16_t *frequencies, const uint8_t *class_of,
                            uint32_t classes, uint32_t alphabet, uint32_t scale,
                            const uint16_t *symbols, uint64_t count, uint8_t *out, uint64_t room);
uint64_t th_entropy_bits(const uint64_t *counts, uint32_t alphabet);
uint64_t th_encode_stream(const th_plan *plan, uint32_t states, const uint16_t *symbols,
                          uint64_t count, uint8_t *out, uint64_t room);

#endif
