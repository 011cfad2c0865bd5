/* Values in groups of channels (SPEC section 3, `grouped`). */
#ifndef THIMBLE_GROUPS_H
#define THIMBLE_GROUPS_H

#include "streams.h"

enum { TH_MAX_GROUPS = 64, TH_GROUP_CHUNK = 512, TH_MAX_CHANNELS = 65536 };

typedef struct {
    th_symbols stream;
    uint64_t left;
    uint32_t next;
    uint32_t filled;
    uint16_t buffer[TH_GROUP_CHUNK];
} th_group;

typedef struct {
    uint64_t stride;
    uint32_t channels;
    uint32_t count;
    uint64_t run;     /* elements of `channel` that are read, where all are kept */
    uint32_t channel;
    uint8_t *of_channel; /* the group of each channel */
    th_group *groups;
} th_groups;

int th_groups_open(th_groups *groups, th_cursor *cursor, th_row *row, uint32_t alphabet,
                   const th_pool *pool);
int th_groups_read(th_groups *groups, const uint64_t *places, uint16_t *out, uint64_t count);
int th_groups_end(const th_groups *groups);
void th_groups_close(th_groups *groups);

#endif
