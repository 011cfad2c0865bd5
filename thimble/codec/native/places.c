#include "rows.h"

static const uint32_t NO_ESCAPE = UINT32_MAX;

static int open_gaps(th_places *places, th_cursor *cursor, th_row *row, const th_pool *pool) {
    uint64_t number;
    if (row->kept == 1) {
        places->single = 1;
        TH_TRY(th_varint(cursor, &places->place));
        return places->place < row->elements ? TH_OK : TH_POSITION;
    }
    TH_TRY(th_varint(cursor, &places->escapes));
    TH_TRY(th_varint(cursor, &number));
    uint64_t most = places->escapes ? 12 : TH_MAX_ALPHABET;
    if (number < 1 || number > most) {
        return TH_COUNT;
    }
    uint32_t alphabet = places->escapes ? 1u << number : (uint32_t)number;
    if (places->escapes && places->escapes > (row->elements - row->kept) / (alphabet - 1)) {
        return TH_COUNT;
    }
    places->escape = places->escapes ? alphabet - 1 : NO_ESCAPE;
    places->symbols_left = row->kept + places->escapes;
    return th_symbols_open(&places->stream, cursor, places->symbols_left, alphabet, pool, row, 0);
}

int th_places_open(th_places *places, th_cursor *cursor, th_row *row, const th_pool *pool) {
    places->form = row->positions;
    if (row->positions == TH_DENSE || row->kept == 0) {
        return TH_OK;
    }
    if (row->positions == TH_GAP) {
        return open_gaps(places, cursor, row, pool);
    }
    places->symbols_left = row->elements / 8 + (row->elements % 8 != 0);
    return th_symbols_open(&places->stream, cursor, places->symbols_left, 256, pool, row, 0);
}

static int fill_buffer(th_places *places) {
    uint64_t count = places->symbols_left < TH_CHUNK ? places->symbols_left : TH_CHUNK;
    if (count == 0) {
        return TH_STREAM;
    }
    TH_TRY(th_symbols_read(&places->stream, places->buffer, count));
    places->symbols_left -= count;
    places->filled = (uint32_t)count;
    places->next = 0;
    return TH_OK;
}

static int read_gaps(th_places *places, uint64_t elements, uint64_t *out, uint64_t count) {
    uint64_t place = places->place;
    for (uint64_t i = 0; i < count;) {
        if (places->next == places->filled) {
            TH_TRY(fill_buffer(places));
        }
        uint32_t next = places->next, filled = places->filled;
        for (; next < filled && i < count; next++) {
            uint32_t symbol = places->buffer[next];
            place += symbol;
            if (place >= elements) {
                return TH_POSITION;
            }
            if (symbol == places->escape) {
                if (places->escapes-- == 0) {
                    return TH_POSITION;
                }
                continue;
            }
            out[i++] = place++;
        }
        places->next = next;
    }
    places->place = place;
    return TH_OK;
}

static int read_bitmap(th_places *places, uint64_t elements, uint64_t *out, uint64_t count) {
    for (uint64_t i = 0; i < count;) {
        if (places->next == places->filled) {
            TH_TRY(fill_buffer(places));
        }
        uint32_t symbol = places->buffer[places->next];
        for (; places->bit < 8 && i < count; places->bit++) {
            if (symbol >> (7 - places->bit) & 1) {
                out[i++] = places->place + places->bit;
            }
        }
        if (places->bit == 8) {
            places->bit = 0;
            places->place += 8;
            places->next++;
        }
    }
    return out[count - 1] < elements ? TH_OK : TH_POSITION;
}

/* Write the next `count` kept elements in ascending order. */
int th_places_read(th_places *places, uint64_t elements, uint64_t *out, uint64_t count) {
    if (places->single) {
        out[0] = places->place;
        return TH_OK;
    }
    return places->form == TH_GAP ? read_gaps(places, elements, out, count)
                                  : read_bitmap(places, elements, out, count);
}

/* The bits after the last kept element must be zero. */
static int end_bitmap(th_places *places) {
    while (places->next < places->filled || places->symbols_left) {
        if (places->next == places->filled) {
            TH_TRY(fill_buffer(places));
        }
        if (places->buffer[places->next++] << places->bit & 0xFF) {
            return TH_POSITION;
        }
        places->bit = 0;
    }
    return th_symbols_end(&places->stream);
}

/* No kept element and no symbol may be left over. */
int th_places_end(th_places *places) {
    if (places->form == TH_DENSE || places->single || places->stream.alphabet == 0) {
        return TH_OK;
    }
    if (places->form == TH_BITMAP) {
        return end_bitmap(places);
    }
    int spent = places->next == places->filled && !places->symbols_left && !places->escapes;
    return spent ? th_symbols_end(&places->stream) : TH_POSITION;
}
