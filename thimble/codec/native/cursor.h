/* Reads bytes, varints and Rice codes, and never past the end. */
#ifndef THIMBLE_CURSOR_H
#define THIMBLE_CURSOR_H

#include "thimble.h"

#include <string.h>

#define TH_TRY(call)              \
    do {                          \
        int fault_ = (call);      \
        if (fault_ != TH_OK) {    \
            return fault_;        \
        }                         \
    } while (0)

typedef struct {
    const uint8_t *at;
    const uint8_t *end;
} th_cursor;

static inline uint64_t th_left(const th_cursor *cursor) {
    return (uint64_t)(cursor->end - cursor->at);
}

static inline int th_take(th_cursor *cursor, uint64_t size, const uint8_t **bytes) {
    if (size > th_left(cursor)) {
        return TH_SHORT;
    }
    *bytes = cursor->at;
    cursor->at += size;
    return TH_OK;
}

/* SPEC section 3: LEB128 below 2^63 without a needless last byte. */
static inline int th_varint(th_cursor *cursor, uint64_t *value) {
    uint64_t sum = 0;
    for (unsigned shift = 0; shift < 63; shift += 7) {
        const uint8_t *byte;
        TH_TRY(th_take(cursor, 1, &byte));
        sum |= (uint64_t)(*byte & 127) << shift;
        if (*byte < 128) {
            if (*byte == 0 && shift > 0) {
                return TH_VARINT;
            }
            *value = sum;
            return TH_OK;
        }
    }
    return TH_VARINT;
}

/* Bits, most significant first. */
typedef struct {
    th_cursor *cursor;
    uint32_t bits;
    uint32_t left;
} th_bits;

static inline int th_bit(th_bits *reader, uint32_t *bit) {
    if (reader->left == 0) {
        const uint8_t *byte;
        TH_TRY(th_take(reader->cursor, 1, &byte));
        reader->bits = *byte;
        reader->left = 8;
    }
    reader->left--;
    *bit = reader->bits >> reader->left & 1;
    return TH_OK;
}

/* SPEC section 5: ones, a zero, then `low` bits. */
static inline int th_rice(th_bits *reader, uint32_t low, uint32_t *value) {
    uint32_t bit, ones = 0, rest = 0;
    for (;;) {
        th_cursor *cursor = reader->cursor;
        if (reader->left == 0 && th_left(cursor) && *cursor->at == 0xFF) {
            cursor->at++; /* a table of long codes is read by each stream that names it */
            ones += 8;
        } else {
            TH_TRY(th_bit(reader, &bit));
            if (!bit) {
                break;
            }
            ones++;
        }
        if (ones > 65535) {
            return TH_COUNT;
        }
    }
    for (uint32_t i = 0; i < low; i++) {
        TH_TRY(th_bit(reader, &bit));
        rest = rest << 1 | bit;
    }
    *value = ones << low | rest;
    return TH_OK;
}

/* The padding after the last bit must be zero. */
static inline int th_bits_end(const th_bits *reader) {
    uint32_t mask = (1u << reader->left) - 1;
    return (reader->bits & mask) ? TH_TRAILING : TH_OK;
}

static inline uint32_t th_u16(const uint8_t *bytes) {
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8;
}

static inline uint64_t th_unsigned(const uint8_t *bytes, uint32_t width) {
    uint64_t value = 0;
    for (uint32_t i = 0; i < width; i++) {
        value |= (uint64_t)bytes[i] << (8 * i);
    }
    return value;
}

static inline void th_put(uint8_t *bytes, uint32_t width, uint64_t value) {
    for (uint32_t i = 0; i < width; i++) {
        bytes[i] = (uint8_t)(value >> (8 * i));
    }
}

#endif
