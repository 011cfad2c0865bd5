#include "rows.h"

#include <stdlib.h>

enum { PATTERNS = 0, HALF = 1, RANGE = 2, ASCENDING = 3, ZERO_ASCENDING = 4, MAX_ENTRIES = 65536 };

/* The pattern of 2^120 as float32. */
static const uint32_t LARGEST_SCALE = (120 + 127) << 23;

int th_is_half_nan(uint32_t half) {
    return (half & 0x7FFF) > 0x7C00;
}

/* The float32 pattern of a float16 pattern that is no NaN. */
uint32_t th_half_to_float(uint32_t half) {
    uint32_t sign = (half & 0x8000) << 16, exponent = half >> 10 & 31, fraction = half & 0x3FF;
    if (exponent == 31) {
        return sign | 0x7F800000;
    }
    if (exponent == 0) {
        if (fraction == 0) {
            return sign;
        }
        exponent = 1;
        while (!(fraction & 0x400)) { /* a subnormal: shift its first one into place */
            fraction <<= 1;
            exponent--;
        }
        fraction &= 0x3FF;
    }
    return sign | (exponent + 112) << 23 | fraction << 13;
}

static int put_half(uint8_t *item, uint32_t half) {
    if (th_is_half_nan(half)) {
        return TH_CODEBOOK;
    }
    th_put(item, 4, th_half_to_float(half));
    return TH_OK;
}

/* SPEC section 4: keys order float16 patterns by value. */
static int read_ascending(uint8_t *items, uint64_t count, th_cursor *cursor) {
    const uint8_t *bytes;
    TH_TRY(th_take(cursor, 2, &bytes));
    uint64_t key = th_u16(bytes);
    uint32_t low = 0;
    if (count > 1) {
        TH_TRY(th_take(cursor, 1, &bytes));
        low = *bytes;
        if (low > 15) {
            return TH_CODEBOOK;
        }
    }
    th_bits bits = {cursor, 0, 0};
    for (uint64_t i = 0; i < count; i++) {
        if (i > 0) {
            uint32_t distance;
            TH_TRY(th_rice(&bits, low, &distance));
            key += (uint64_t)distance + 1;
        }
        if (key > 0xFFFF) {
            return TH_CODEBOOK;
        }
        uint32_t half = (uint32_t)(key >= 0x8000 ? key - 0x8000 : 0xFFFF - key);
        TH_TRY(put_half(items + 4 * i, half));
    }
    return th_bits_end(&bits);
}

static int read_entries(th_book *book, uint64_t form, uint32_t width, th_cursor *cursor) {
    const uint8_t *bytes;
    uint64_t n = book->entries, first;
    switch (form) {
    case PATTERNS:
        TH_TRY(th_take(cursor, n * width, &bytes));
        memcpy(book->items, bytes, n * width);
        return TH_OK;
    case HALF:
        TH_TRY(th_take(cursor, 2 * n, &bytes));
        for (uint64_t i = 0; i < n; i++) {
            TH_TRY(put_half(book->items + 4 * i, th_u16(bytes + 2 * i)));
        }
        return TH_OK;
    case RANGE:
        TH_TRY(th_take(cursor, width, &bytes));
        first = th_unsigned(bytes, width);
        for (uint64_t i = 0; i < n; i++) {
            th_put(book->items + width * i, width, first + i);
        }
        return TH_OK;
    default:
        first = form == ZERO_ASCENDING;
        memset(book->items, 0, first * 4);
        return n > first ? read_ascending(book->items + 4 * first, n - first, cursor)
                         : TH_CODEBOOK;
    }
}

static int read_scales(th_book *book, th_cursor *cursor, uint64_t channels) {
    const uint8_t *form, *bytes;
    TH_TRY(th_take(cursor, 1, &form));
    if (*form > 1) {
        return TH_UNKNOWN;
    }
    uint32_t size = *form ? 2 : 4;
    if (channels > th_left(cursor) / size) {
        return TH_SHORT;
    }
    TH_TRY(th_take(cursor, channels * size, &bytes));
    book->scales = malloc(channels * 4 + 1);
    if (book->scales == NULL) {
        return TH_MEMORY;
    }
    for (uint64_t i = 0; i < channels; i++) {
        uint8_t *scale = book->scales + 4 * i;
        if (size == 4) {
            memcpy(scale, bytes + 4 * i, 4);
        } else {
            TH_TRY(put_half(scale, th_u16(bytes + 2 * i)));
        }
        if ((th_unsigned(scale, 4) & 0x7FFFFFFF) >= LARGEST_SCALE) {
            return TH_CODEBOOK; /* its products may not be finite */
        }
    }
    return TH_OK;
}

/* Read scales and entries. The caller frees both, also after a fault. */
int th_book_read(th_book *book, th_cursor *cursor, const th_row *row) {
    uint64_t form;
    uint32_t width = row->values == TH_SCALED ? 1 : row->width;
    if (row->values == TH_SCALED) {
        TH_TRY(read_scales(book, cursor, row->channels));
    }
    TH_TRY(th_varint(cursor, &book->entries));
    form = book->entries & 7;
    book->entries >>= 3;
    if (form > ZERO_ASCENDING) {
        return TH_UNKNOWN;
    }
    if (book->entries > MAX_ENTRIES || (book->entries == 0 && (row->elements || form != PATTERNS))) {
        return TH_CODEBOOK;
    }
    if (form == RANGE && (width != 1 || book->entries > 256)) {
        return TH_CODEBOOK;
    }
    int halves = form == HALF || form >= ASCENDING;
    if (halves && (!row->floats || row->values == TH_SCALED)) {
        return TH_CODEBOOK;
    }
    if (row->index_width && book->entries > (uint64_t)1 << (8 * row->index_width)) {
        return TH_CODEBOOK; /* more entries than the indices can name */
    }
    book->items = malloc(book->entries * width + 1);
    if (book->items == NULL) {
        return TH_MEMORY;
    }
    return read_entries(book, form, width, cursor);
}
