#include "tables.h"
#include "values.h"

#include <stdlib.h>

/* Everything that a row needs while it is decoded. */
typedef struct {
    th_book book;
    th_places places;
    th_items items;
    uint64_t at[TH_CHUNK];
    uint8_t chunk[TH_CHUNK * 8];
} th_work;

/* Whether items are entries of a codebook as they are. */
static int has_entries(const th_row *row) {
    return row->values == TH_CODEBOOK_VALUES || row->values == TH_GROUPED;
}

static int check_row(const th_row *row) {
    int known = row->positions <= TH_BITMAP && row->values <= TH_GROUPED;
    int halves = row->values == TH_HALF || row->values == TH_SCALED;
    if (!known || (halves && !row->floats)) {
        return TH_UNKNOWN;
    }
    int wide = row->width == 1 || row->width == 2 || row->width == 4 || row->width == 8;
    int fits = row->elements <= (uint64_t)1 << 60 && row->index_width <= 2;
    if (row->floats && row->width != 4) {
        fits = 0;
    }
    if (row->index_width && (!has_entries(row) || row->indices == NULL)) {
        fits = 0;
    }
    if (row->values == TH_SCALED && (!row->channels || row->elements % row->channels)) {
        fits = 0;
    }
    if (row->columns && (row->values == TH_SCALED || row->elements % row->columns)) {
        fits = 0;
    }
    if (row->out == NULL && (!has_entries(row) || !row->index_width)) {
        fits = 0;
    }
    return wide && fits ? TH_OK : TH_COUNT;
}

/* Read the codebook, what is skipped, and how many elements are kept. */
static int open_row(th_work *work, th_row *row, th_cursor *cursor, const th_pool *pool) {
    const uint8_t *before = cursor->at;
    int booked = row->values >= TH_CODEBOOK_VALUES;
    if (booked) {
        TH_TRY(th_book_read(&work->book, cursor, row));
    }
    row->codebook_bytes = (uint64_t)(cursor->at - before);
    row->entries = work->book.entries;
    row->kept = row->elements;
    if (row->positions != TH_DENSE) {
        if (booked) {
            TH_TRY(th_varint(cursor, &work->items.skipped));
            if (work->items.skipped >= work->book.entries) {
                return TH_COUNT;
            }
        }
        TH_TRY(th_varint(cursor, &row->kept));
        if (row->kept > row->elements) {
            return TH_COUNT;
        }
    }
    work->items.book = &work->book;
    TH_TRY(th_places_open(&work->places, cursor, row, pool));
    TH_TRY(th_items_open(&work->items, cursor, row, pool));
    return cursor->at == cursor->end ? TH_OK : TH_TRAILING;
}

static void fill_scaled(const th_work *work, const th_row *row, float skipped) {
    for (uint64_t i = 0; i < row->elements; i++) {
        float scale, product;
        memcpy(&scale, work->book.scales + 4 * (i % row->channels), 4);
        product = skipped * scale;
        memcpy(row->out + 4 * i, &product, 4);
    }
}

/* Set every element to the skipped one; the buffers hold zeros already. */
static void fill_skipped(const th_work *work, const th_row *row) {
    uint64_t skipped = work->items.skipped;
    if (row->positions == TH_DENSE || row->kept == row->elements ||
        row->values < TH_CODEBOOK_VALUES) {
        return;
    }
    if (row->values == TH_SCALED) {
        fill_scaled(work, row, (float)(int8_t)work->book.items[skipped]);
    } else if (row->out && th_unsigned(work->book.items + row->width * skipped, row->width)) {
        for (uint64_t i = 0; i < row->elements; i++) {
            memcpy(row->out + row->width * i, work->book.items + row->width * skipped, row->width);
        }
    }
    for (uint64_t i = 0; skipped && row->index_width && i < row->elements; i++) {
        th_put(row->indices + row->index_width * i, row->index_width, skipped);
    }
}

static void scatter(const th_row *row, const th_work *work, uint64_t count) {
    const uint64_t *at = work->at;
    switch (row->width) {
    case 1:
        for (uint64_t i = 0; i < count; i++) {
            row->out[at[i]] = work->chunk[i];
        }
        break;
    case 4:
        for (uint64_t i = 0; i < count; i++) {
            memcpy(row->out + 4 * at[i], work->chunk + 4 * i, 4);
        }
        break;
    default:
        for (uint64_t i = 0; i < count; i++) {
            memcpy(row->out + row->width * at[i], work->chunk + row->width * i, row->width);
        }
    }
}

static void copy_indices(const th_row *row, const th_work *work, uint64_t from, uint64_t count) {
    const uint16_t *symbols = work->items.symbols;
    for (uint64_t i = 0; row->index_width == 1 && i < count; i++) {
        row->indices[from + i] = (uint8_t)symbols[i];
    }
    for (uint64_t i = 0; row->index_width == 2 && i < count; i++) {
        th_put(row->indices + 2 * (from + i), 2, symbols[i]);
    }
}

static void scatter_indices(const th_row *row, const th_work *work, uint64_t count) {
    const uint16_t *symbols = work->items.symbols;
    for (uint64_t i = 0; row->index_width == 1 && i < count; i++) {
        row->indices[work->at[i]] = (uint8_t)symbols[i];
    }
    for (uint64_t i = 0; row->index_width == 2 && i < count; i++) {
        th_put(row->indices + 2 * work->at[i], 2, symbols[i]);
    }
}

/* Turn places in the order of the columns to elements in the order of the rows. */
static void turn(const th_row *row, uint64_t *at, uint64_t count) {
    uint64_t rows = row->elements / row->columns;
    for (uint64_t i = 0; i < count; i++) {
        at[i] = at[i] % rows * row->columns + at[i] / rows;
    }
}

static int decode_kept(th_work *work, th_row *row) {
    int dense = row->positions == TH_DENSE && !row->columns;
    for (uint64_t done = 0; done < row->kept;) {
        uint64_t count = row->kept - done < TH_CHUNK ? row->kept - done : TH_CHUNK;
        if (row->positions == TH_DENSE) {
            for (uint64_t i = 0; (row->columns || row->values == TH_SCALED) && i < count; i++) {
                work->at[i] = done + i;
            }
        } else {
            TH_TRY(th_places_read(&work->places, row->elements, work->at, count));
        }
        uint8_t *out = dense && row->out ? row->out + row->width * done : work->chunk;
        TH_TRY(th_items_read(&work->items, work->at, row->out ? out : NULL, count));
        if (row->columns) {
            turn(row, work->at, count);
        }
        if (!dense && row->out) {
            scatter(row, work, count);
        }
        if (dense) {
            copy_indices(row, work, done, count);
        } else {
            scatter_indices(row, work, count);
        }
        done += count;
    }
    TH_TRY(th_places_end(&work->places));
    return th_items_end(&work->items);
}

static int give_codebook(const th_work *work, const th_row *row) {
    if (row->codebook == NULL || !has_entries(row)) {
        return TH_OK;
    }
    if (row->entries > row->codebook_room) {
        return TH_COUNT;
    }
    memcpy(row->codebook, work->book.items, row->entries * row->width);
    return TH_OK;
}

/* Everything is zero but the buffers, which are written before they are read. */
static th_work *new_work(void) {
    th_work *work = malloc(sizeof *work);
    if (work != NULL) {
        memset(&work->book, 0, sizeof work->book);
        memset(&work->places, 0, offsetof(th_places, buffer));
        memset(&work->items, 0, offsetof(th_items, symbols));
    }
    return work;
}

int th_decode_row(th_row *row, const th_pool *pool) {
    row->kept = row->entries = row->codebook_bytes = row->table_bytes = row->payload_bytes = 0;
    row->coders = 0;
    TH_TRY(check_row(row));
    th_work *work = new_work();
    if (work == NULL) {
        return TH_MEMORY;
    }
    th_cursor cursor = {row->data, row->data + row->size};
    int fault = open_row(work, row, &cursor, pool);
    if (fault == TH_OK) {
        fill_skipped(work, row);
        fault = decode_kept(work, row);
    }
    fault = fault == TH_OK ? give_codebook(work, row) : fault;
    th_symbols_close(&work->places.stream);
    th_items_close(&work->items);
    free(work->book.items);
    free(work->book.scales);
    free(work);
    return fault;
}

/* Find where each table of the pool starts (SPEC section 5). */
int th_index_pool(const uint8_t *data, uint64_t size, uint32_t *starts, uint64_t room,
                  uint64_t *tables) {
    th_cursor cursor = {data, data + size};
    uint16_t lengths[TH_MAX_ALPHABET];
    th_curve *curve = malloc(sizeof *curve);
    int fault = curve == NULL ? TH_MEMORY : TH_OK;
    for (*tables = 0; fault == TH_OK && cursor.at < cursor.end; (*tables)++) {
        uint64_t alphabet = 0;
        uint32_t coder = *cursor.at;
        if (*tables == room) {
            fault = TH_POOL;
            break;
        }
        starts[*tables] = (uint32_t)(cursor.at++ - data);
        fault = th_varint(&cursor, &alphabet);
        if (fault == TH_OK && (alphabet < 2 || alphabet > TH_MAX_ALPHABET)) {
            fault = TH_POOL;
        } else if (fault == TH_OK && coder == TH_HUFFMAN) {
            fault = th_read_lengths(&cursor, (uint32_t)alphabet, lengths);
        } else if (fault == TH_OK && coder == TH_RANS) {
            fault = th_read_curve(&cursor, (uint32_t)alphabet, curve);
        } else if (fault == TH_OK) {
            fault = TH_UNKNOWN;
        }
    }
    free(curve);
    return fault;
}
