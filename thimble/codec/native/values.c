#include "values.h"

static int open_plain(th_items *items, th_cursor *cursor, uint64_t count, uint32_t size,
                      th_row *row) {
    if (count > th_left(cursor) / size) {
        return TH_SHORT;
    }
    row->payload_bytes += count * size;
    return th_take(cursor, count * size, &items->plain);
}

int th_items_open(th_items *items, th_cursor *cursor, th_row *row, const th_pool *pool) {
    items->row = row;
    switch (row->values) {
    case TH_RAW:
        return open_plain(items, cursor, row->kept, row->width, row);
    case TH_HALF:
        return open_plain(items, cursor, row->kept, 2, row);
    case TH_PLANES:
        for (; items->stream_count < row->width; items->stream_count++) {
            th_symbols *stream = &items->streams[items->stream_count];
            int last = items->stream_count + 1 == row->width;
            TH_TRY(th_symbols_open(stream, cursor, row->kept, 256, pool, row, last));
        }
        return TH_OK;
    default:
        if (row->kept == 0) {
            return TH_OK;
        }
        uint64_t alphabet = items->book->entries - (row->positions != TH_DENSE);
        if (alphabet == 0) {
            return TH_CODEBOOK;
        }
        if (row->values == TH_GROUPED) {
            return th_groups_open(&items->groups, cursor, row, (uint32_t)alphabet, pool);
        }
        items->stream_count = 1;
        return th_symbols_open(&items->streams[0], cursor, row->kept, (uint32_t)alphabet, pool,
                               row, 1);
    }
}

static int read_half(th_items *items, uint8_t *out, uint64_t count) {
    for (uint64_t i = 0; i < count; i++, items->plain += 2) {
        uint32_t half = th_u16(items->plain);
        if (th_is_half_nan(half)) {
            return TH_CODEBOOK;
        }
        th_put(out + 4 * i, 4, th_half_to_float(half));
    }
    return TH_OK;
}

static int read_planes(th_items *items, uint8_t *out, uint64_t count) {
    uint32_t width = items->row->width;
    for (uint32_t plane = 0; plane < width; plane++) {
        TH_TRY(th_symbols_read(&items->streams[plane], items->symbols, count));
        for (uint64_t i = 0; i < count; i++) {
            out[width * i + plane] = (uint8_t)items->symbols[i];
        }
    }
    return TH_OK;
}

/* Turn symbols to indices: kept elements never use the skipped entry. */
static int read_indices(th_items *items, const uint64_t *places, uint64_t count) {
    uint16_t *symbols = items->symbols;
    TH_TRY(items->row->values == TH_GROUPED
               ? th_groups_read(&items->groups,
                                items->row->positions == TH_DENSE ? NULL : places, symbols, count)
               : th_symbols_read(&items->streams[0], symbols, count));
    if (items->row->positions != TH_DENSE) {
        uint16_t skipped = (uint16_t)items->skipped;
        for (uint64_t i = 0; i < count; i++) {
            symbols[i] = (uint16_t)(symbols[i] + (symbols[i] >= skipped));
        }
    }
    return TH_OK;
}

static void look_up(const th_items *items, uint8_t *out, uint64_t count) {
    const uint16_t *symbols = items->symbols;
    const uint8_t *entries = items->book->items;
    switch (items->row->width) {
    case 1:
        for (uint64_t i = 0; i < count; i++) {
            out[i] = entries[symbols[i]];
        }
        return;
    case 4:
        for (uint64_t i = 0; i < count; i++) {
            memcpy(out + 4 * i, entries + 4 * (size_t)symbols[i], 4);
        }
        return;
    default:
        for (uint64_t i = 0; i < count; i++) {
            memcpy(out + items->row->width * i, entries + items->row->width * (size_t)symbols[i],
                   items->row->width);
        }
    }
}

/* One float32 product: the channel is the place modulo the last dimension. */
static void scale_up(const th_items *items, const uint64_t *places, uint8_t *out, uint64_t count) {
    for (uint64_t i = 0; i < count; i++) {
        float scale, product;
        memcpy(&scale, items->book->scales + 4 * (places[i] % items->row->channels), 4);
        product = (float)(int8_t)items->book->items[items->symbols[i]] * scale;
        memcpy(out + 4 * i, &product, 4);
    }
}

/* Write the items of the next `count` (at most TH_CHUNK) kept elements one after the other. */
int th_items_read(th_items *items, const uint64_t *places, uint8_t *out, uint64_t count) {
    uint32_t width = items->row->width;
    switch (items->row->values) {
    case TH_RAW:
        memcpy(out, items->plain, count * width);
        items->plain += count * width;
        return TH_OK;
    case TH_HALF:
        return read_half(items, out, count);
    case TH_PLANES:
        return read_planes(items, out, count);
    case TH_SCALED:
        TH_TRY(read_indices(items, places, count));
        scale_up(items, places, out, count);
        return TH_OK;
    default:
        TH_TRY(read_indices(items, places, count));
        if (out) {
            look_up(items, out, count);
        }
        return TH_OK;
    }
}

int th_items_end(const th_items *items) {
    for (uint32_t i = 0; i < items->stream_count; i++) {
        TH_TRY(th_symbols_end(&items->streams[i]));
    }
    return th_groups_end(&items->groups);
}

void th_items_close(th_items *items) {
    for (uint32_t i = 0; i < 8; i++) {
        th_symbols_close(&items->streams[i]);
    }
    th_groups_close(&items->groups);
}
