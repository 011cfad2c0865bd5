/* Fuzzes the C core of the decoder: th_index_pool and th_decode_row on arbitrary bytes.
 *
 *   fuzz_row runs|seconds NUMBER SEED CORPUS [FOUND]   mutate the files of CORPUS
 *   fuzz_row replay CORPUS                             decode them once, print a digest
 *   fuzz_row minimise CORPUS FOUND                     copy those that take a new branch, by name
 *
 * It is built with ASan and UBSan, and with gcc's -fsanitize-coverage=trace-pc: an input that takes
 * a new branch joins the corpus, and is written to FOUND, as an input that ends the process is.
 *
 * An input: positions, values, width, index width, flags, elements (3), channels or columns (2),
 * pool size (2), the pool, the row.
 */
#include "thimble.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { HEAD = 12, MOST = 1 << 13, INPUTS = 1 << 13, EDGES = 1 << 14, HANG_SECONDS = 10 };
enum { FLOATS = 1, NO_OUT = 2, POOLED = 4, TURNED = 8, MANY = 16 };

typedef struct {
    uint32_t size;
    uint8_t bytes[MOST];
} input;

static const uint64_t HASH = 14695981039346656037u; /* FNV-1a */

static input *corpus[INPUTS];
static uint32_t inputs;
static input now;
static const char *found_folder;
static int want_hash;
static uint8_t edges[EDGES], seen[EDGES];
static uintptr_t last_edge;
static uint64_t random_state;

/* How often a branch was taken, as a power of two. */
__attribute__((no_sanitize_coverage)) static uint8_t bucket(uint8_t count) {
    uint8_t bit = 0;
    while (count >>= 1) {
        bit++;
    }
    return (uint8_t)(1u << bit);
}

__attribute__((no_sanitize_coverage)) void __sanitizer_cov_trace_pc(void) {
    uintptr_t here = (uintptr_t)__builtin_return_address(0);
    uintptr_t edge = (here ^ (last_edge << 1)) * 0x9E3779B97F4A7C15u >> 50;
    edges[edge] += edges[edge] < 255;
    last_edge = here;
}

void __sanitizer_set_death_callback(void (*callback)(void));

static uint64_t next_random(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static uint32_t below(uint32_t most) {
    return (uint32_t)(next_random() % most);
}

static void put(const input *one, const char *name) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s", found_folder, name);
    FILE *file = fopen(path, "wb");
    if (file) {
        fwrite(one->bytes, 1, one->size, file);
        fclose(file);
    }
}

static uint64_t mix(uint64_t hash, const uint8_t *bytes, uint64_t size) {
    for (uint64_t i = 0; i < size; i++) {
        hash = (hash ^ bytes[i]) * 1099511628211u;
    }
    return hash;
}

static void save(const input *one, const char *prefix) {
    char name[64];
    if (found_folder) {
        snprintf(name, sizeof name, "%s-%016llx.row", prefix,
                 (unsigned long long)mix(HASH, one->bytes, one->size));
        put(one, name);
    }
}

static void on_death(void) {
    save(&now, "crash");
}

static void on_alarm(int number) {
    (void)number;
    save(&now, "hang");
    static const char text[] = "fuzz_row: an input takes longer than 10 seconds\n";
    if (write(2, text, sizeof text - 1)) {
    }
    _exit(3);
}

static void fail(const char *what) {
    fprintf(stderr, "fuzz_row: %s\n", what);
    save(&now, "wrong");
    exit(4);
}

/* Copies whose ends are those of their allocations, so that ASan sees one byte too many. */
static uint8_t *copy_of(const uint8_t *bytes, uint64_t size) {
    uint8_t *copy = malloc(size ? size : 1);
    if (size) {
        memcpy(copy, bytes, size);
    }
    return copy;
}

static void check_indices(const th_row *row) {
    for (uint64_t i = 0; row->index_width && i < row->elements; i++) {
        uint64_t index = row->indices[row->index_width * i];
        index |= row->index_width == 2 ? (uint64_t)row->indices[2 * i + 1] << 8 : 0;
        if (index >= row->entries) {
            fail("an index is not below the entries");
        }
    }
}

static uint64_t decode(const uint8_t *head, const th_pool *pool, const uint8_t *data,
                       uint64_t size) {
    static const uint32_t WIDTHS[4] = {1, 2, 4, 8};
    th_row row = {.data = data, .size = size, .positions = head[0] % 3, .values = head[1] % 6};
    row.width = WIDTHS[head[2] % 4];
    row.index_width = head[3] % 3;
    row.floats = head[4] & FLOATS;
    row.elements = (uint64_t)(head[5] | head[6] << 8 | head[7] << 16) % (1 << 14);
    row.channels = (uint64_t)(head[8] | head[9] << 8);
    row.columns = head[4] & TURNED ? row.channels << (head[4] & MANY ? 44 : 0) : 0;
    row.codebook_room = row.index_width * 256u; /* less than two bytes can name */
    uint64_t bytes = row.elements * row.width;
    row.out = head[4] & NO_OUT ? NULL : calloc(bytes ? bytes : 1, 1);
    row.indices = calloc(row.elements * row.index_width + 1, 1);
    row.codebook = calloc(row.codebook_room * row.width + 1, 1);
    int fault = th_decode_row(&row, pool);
    uint64_t hash = HASH ^ (uint64_t)fault;
    if (fault == TH_OK) {
        check_indices(&row);
        if (want_hash) {
            hash = mix(hash, row.out, row.out ? bytes : 0);
            hash = mix(hash, row.indices, row.elements * row.index_width);
            hash = mix(hash, row.codebook, row.codebook_room * row.width);
        }
        if (row.kept > row.elements || row.entries > 65536 ||
            row.codebook_bytes + row.table_bytes + row.payload_bytes > size) {
            fail("a figure is out of its range");
        }
    }
    free(row.out);
    free(row.indices);
    free(row.codebook);
    return hash;
}

static uint64_t run(const input *one) {
    if (one->size < HEAD) {
        return 0;
    }
    const uint8_t *head = one->bytes;
    uint64_t rest = one->size - HEAD, pool_size = (uint64_t)(head[10] | head[11] << 8);
    pool_size = pool_size < rest ? pool_size : rest;
    uint8_t *tables = copy_of(head + HEAD, pool_size);
    uint8_t *data = copy_of(head + HEAD + pool_size, rest - pool_size);
    uint64_t room = pool_size / 3 + 1;
    uint32_t *starts = malloc(room * sizeof *starts);
    th_pool pool = {tables, pool_size, starts, 0};
    uint64_t hash = (uint64_t)th_index_pool(tables, pool_size, starts, room, &pool.tables);
    int shared = hash == TH_OK && head[4] & POOLED;
    hash = hash * 31 + decode(head, shared ? &pool : NULL, data, rest - pool_size);
    free(tables);
    free(data);
    free(starts);
    return hash;
}

static int is_new(void) {
    int found = 0;
    for (uint32_t i = 0; i < EDGES; i++) {
        uint8_t bit = edges[i] ? bucket(edges[i]) : 0;
        found |= bit & ~seen[i];
        seen[i] |= bit;
    }
    return found;
}

static int is_new_after(const input *one) {
    memset(edges, 0, sizeof edges);
    last_edge = 0;
    alarm(HANG_SECONDS);
    want_hash = 0;
    run(one);
    int found = is_new();
    want_hash = 1;
    if (found && run(one) != run(one)) {
        fail("the same input decodes to something else");
    }
    alarm(0);
    return found;
}

static void insert(input *one, uint32_t at, const uint8_t *bytes, uint32_t size) {
    if (one->size + size > MOST) {
        return;
    }
    memmove(one->bytes + at + size, one->bytes + at, one->size - at);
    memcpy(one->bytes + at, bytes, size);
    one->size += size;
}

static void mutate(input *one) {
    static const uint8_t EDGE[] = {0, 1, 2, 3, 4, 7, 8, 15, 16, 127, 128, 254, 255};
    uint32_t at = one->size ? below(one->size) : 0, size = 1 + below(8), left;
    uint8_t bytes[64];
    const input *other;
    for (uint32_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)next_random();
    }
    left = one->size - at;
    size = size < left ? size : left;
    switch (one->size > HEAD ? below(8) : 7) {
    case 0:
        one->bytes[at] ^= (uint8_t)(1 << below(8));
        break;
    case 1:
        one->bytes[at] = EDGE[below(sizeof EDGE)];
        break;
    case 2:
        one->bytes[at] = (uint8_t)(one->bytes[at] + below(9) - 4);
        break;
    case 3:
        memmove(one->bytes + at, one->bytes + at + size, left - size);
        one->size -= size;
        break;
    case 4:
        memcpy(bytes, one->bytes + at, size);
        insert(one, at, bytes, size);
        break;
    case 5:
        one->bytes[below(HEAD)] = bytes[0];
        break;
    case 6:
        other = corpus[below(inputs)];
        size = 1 + below(sizeof bytes);
        if (other->size > size) {
            insert(one, at, other->bytes + below(other->size - size), size);
        }
        break;
    default:
        insert(one, at, bytes, 1 + below(4));
    }
}

static void add(const input *one) {
    if (inputs < INPUTS) {
        corpus[inputs] = malloc(sizeof *one);
        memcpy(corpus[inputs++], one, sizeof *one);
    }
}

static int by_name(const struct dirent **a, const struct dirent **b) {
    return strcmp((*a)->d_name, (*b)->d_name);
}

/* Decode the files of a folder; those that take a new branch are the corpus to start from. */
static uint64_t load(const char *folder) {
    struct dirent **names;
    char path[512];
    uint64_t digest = 0;
    int count = scandir(folder, &names, NULL, by_name);
    for (int i = 0; i < count; i++) {
        const char *end = strrchr(names[i]->d_name, '.');
        snprintf(path, sizeof path, "%s/%s", folder, names[i]->d_name);
        FILE *file = end && strcmp(end, ".row") == 0 ? fopen(path, "rb") : NULL;
        if (file) {
            now.size = (uint32_t)fread(now.bytes, 1, MOST, file);
            fclose(file);
            want_hash = 1;
            digest = digest * 31 + run(&now);
            if (is_new_after(&now)) {
                add(&now);
                if (found_folder) {
                    put(&now, names[i]->d_name);
                }
            }
        }
        free(names[i]);
    }
    if (count >= 0) {
        free(names);
    }
    return digest;
}

static uint64_t fuzz(int timed, uint64_t number) {
    uint64_t runs = 0;
    time_t start = time(NULL);
    while (timed ? (uint64_t)(time(NULL) - start) < number : runs < number) {
        memcpy(&now, corpus[below(inputs)], sizeof now);
        for (uint32_t i = 1 + below(6); i-- > 0;) {
            mutate(&now);
        }
        runs++;
        if (is_new_after(&now)) {
            add(&now);
            save(&now, "new");
        }
    }
    return runs;
}

int main(int count, char **words) {
    __sanitizer_set_death_callback(on_death);
    signal(SIGALRM, on_alarm);
    if (count == 3 && strcmp(words[1], "replay") == 0) {
        printf("%016llx\n", (unsigned long long)load(words[2]));
        return 0;
    }
    if (count == 4 && strcmp(words[1], "minimise") == 0) {
        found_folder = words[3];
        load(words[2]);
        return 0;
    }
    if (count < 5) {
        fprintf(stderr, "usage: fuzz_row runs|seconds NUMBER SEED CORPUS [FOUND]\n");
        return 2;
    }
    random_state = 0x9E3779B97F4A7C15u ^ strtoull(words[3], NULL, 10);
    load(words[4]);
    found_folder = count > 5 ? words[5] : NULL;
    uint32_t known = inputs;
    if (inputs == 0) {
        now.size = HEAD;
        memset(now.bytes, 0, HEAD);
        add(&now);
    }
    uint64_t runs = fuzz(strcmp(words[1], "seconds") == 0, strtoull(words[2], NULL, 10));
    printf("fuzz_row: %llu runs, %u inputs known, %u found, nothing wrong\n",
           (unsigned long long)runs, known, inputs - known);
    for (uint32_t i = 0; i < inputs; i++) {
        free(corpus[i]);
    }
    return 0;
}
