#include "groups.h"

#include <stdlib.h>

static int read_members(th_groups *groups, th_cursor *cursor, th_row *row, const th_pool *pool) {
    uint16_t *symbols = malloc(TH_CHUNK * sizeof *symbols);
    th_symbols stream = {0};
    groups->of_channel = malloc(groups->channels);
    int fault = symbols && groups->of_channel ? TH_OK : TH_MEMORY;
    if (fault == TH_OK) {
        fault = th_symbols_open(&stream, cursor, groups->channels, groups->count, pool, row, 0);
    }
    for (uint32_t done = 0; fault == TH_OK && done < groups->channels;) {
        uint32_t count = groups->channels - done < TH_CHUNK ? groups->channels - done : TH_CHUNK;
        fault = th_symbols_read(&stream, symbols, count);
        for (uint32_t i = 0; i < count; i++) {
            groups->of_channel[done + i] = (uint8_t)symbols[i];
        }
        done += count;
    }
    fault = fault == TH_OK ? th_symbols_end(&stream) : fault;
    th_symbols_close(&stream);
    free(symbols);
    return fault;
}

static int read_counts(th_groups *groups, th_cursor *cursor, uint64_t kept) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < groups->count; i++) {
        TH_TRY(th_varint(cursor, &groups->groups[i].left));
        if (groups->groups[i].left > kept - sum) {
            return TH_COUNT;
        }
        sum += groups->groups[i].left;
    }
    return sum == kept ? TH_OK : TH_COUNT;
}

int th_groups_open(th_groups *groups, th_cursor *cursor, th_row *row, uint32_t alphabet,
                   const th_pool *pool) {
    uint64_t count, channels;
    TH_TRY(th_varint(cursor, &count));
    TH_TRY(th_varint(cursor, &groups->stride));
    TH_TRY(th_varint(cursor, &channels));
    if (count < 2 || count > TH_MAX_GROUPS || channels < 1 || channels > TH_MAX_CHANNELS ||
        groups->stride < 1) {
        return TH_COUNT;
    }
    groups->count = (uint32_t)count;
    groups->channels = (uint32_t)channels;
    groups->groups = calloc(count, sizeof *groups->groups);
    if (groups->groups == NULL) {
        return TH_MEMORY;
    }
    TH_TRY(read_members(groups, cursor, row, pool));
    TH_TRY(read_counts(groups, cursor, row->kept));
    for (uint32_t i = 0; i < groups->count; i++) {
        th_group *group = &groups->groups[i];
        int last = i + 1 == groups->count;
        TH_TRY(th_symbols_open(&group->stream, cursor, group->left, alphabet, pool, row, last));
    }
    return TH_OK;
}

static int refill(th_group *group) {
    uint64_t count = group->left < TH_GROUP_CHUNK ? group->left : TH_GROUP_CHUNK;
    if (count == 0) {
        return TH_COUNT;
    }
    TH_TRY(th_symbols_read(&group->stream, group->buffer, count));
    group->left -= count;
    group->next = 0;
    group->filled = (uint32_t)count;
    return TH_OK;
}

static inline uint32_t channel_of(const th_groups *groups, uint64_t place) {
    if (place >> 32 || groups->stride >> 32) {
        return (uint32_t)(place / groups->stride % groups->channels);
    }
    uint32_t near = (uint32_t)place;
    near = groups->stride == 1 ? near : near / (uint32_t)groups->stride;
    return near % groups->channels;
}

/* The same without gaps: channels follow each other, so that nothing needs to be divided. */
static int read_dense(th_groups *groups, uint16_t *out, uint64_t count) {
    for (uint64_t i = 0; i < count; i++) {
        th_group *group = &groups->groups[groups->of_channel[groups->channel]];
        if (group->next == group->filled) {
            TH_TRY(refill(group));
        }
        out[i] = group->buffer[group->next++];
        if (++groups->run == groups->stride) {
            groups->run = 0;
            groups->channel = groups->channel + 1 == groups->channels ? 0 : groups->channel + 1;
        }
    }
    return TH_OK;
}

/* Give each kept element the next symbol of its group; with `places` NULL all are kept. */
int th_groups_read(th_groups *groups, const uint64_t *places, uint16_t *out, uint64_t count) {
    if (places == NULL) {
        return read_dense(groups, out, count);
    }
    for (uint64_t i = 0; i < count; i++) {
        th_group *group = &groups->groups[groups->of_channel[channel_of(groups, places[i])]];
        if (group->next == group->filled) {
            TH_TRY(refill(group));
        }
        out[i] = group->buffer[group->next++];
    }
    return TH_OK;
}

int th_groups_end(const th_groups *groups) {
    for (uint32_t i = 0; groups->groups && i < groups->count; i++) {
        const th_group *group = &groups->groups[i];
        if (group->left || group->next != group->filled) {
            return TH_COUNT;
        }
        TH_TRY(th_symbols_end(&group->stream));
    }
    return TH_OK;
}

void th_groups_close(th_groups *groups) {
    for (uint32_t i = 0; groups->groups && i < groups->count; i++) {
        th_symbols_close(&groups->groups[i].stream);
    }
    free(groups->groups);
    free(groups->of_channel);
}
