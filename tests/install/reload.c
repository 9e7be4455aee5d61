/*
 * Loads and unloads the library many times, as a plugin's host does: reload LIBRARY URL. Each time an engine serves a
 * request; every second one is let go of by chttp_engine_release(), which does not wait for the engine's thread. The code
 * of that thread must not be unmapped under it, nor under the destructors of thread-local values: the library stays.
 */
#include <chttpcore.h>

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#define ROUNDS 20

/* ISO C has no conversion from an object's pointer to a function's. */
static int find(void *library, const char *name, void *function)
{
    void *symbol = dlsym(library, name);
    memcpy(function, &symbol, sizeof symbol);
    return symbol != NULL;
}

int main(int argc, char **argv)
{
    if (argc != 3) return 1;
    for (int round = 0; round < ROUNDS; round++) {
        void *library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
        if (library == NULL) {
            fprintf(stderr, "%s\n", dlerror());
            return 1;
        }
        int32_t (*engine_new)(const chttp_config *, chttp_engine **, chttp_error **);
        int32_t (*perform)(const chttp_engine *, const chttp_request *, uint64_t, chttp_response **, chttp_error **);
        int32_t (*status)(const chttp_response *);
        void (*release)(void *);
        int32_t (*destroy)(chttp_engine *), (*let_go)(chttp_engine *);
        if (!find(library, "chttp_engine_new", &engine_new) || !find(library, "chttp_perform", &perform) ||
            !find(library, "chttp_response_status", &status) || !find(library, "chttp_release", &release) ||
            !find(library, "chttp_engine_destroy", &destroy) || !find(library, "chttp_engine_release", &let_go))
            return 1;

        chttp_engine *engine = NULL;
        chttp_response *response = NULL;
        chttp_request request = {.size = sizeof request, .url = argv[2], .url_len = CHTTP_NUL_TERMINATED};
        if (engine_new(NULL, &engine, NULL) != 0) return 1;
        if (perform(engine, &request, CHTTP_UNLIMITED, &response, NULL) != 0 || status(response) != 200) return 1;
        release(response);
        if ((round % 2 == 0 ? let_go(engine) : destroy(engine)) != 0) return 1;

        if (dlclose(library) != 0) return 1;
        void *still = dlopen(argv[1], RTLD_NOW | RTLD_NOLOAD);
        if (still == NULL) {
            fprintf(stderr, "the library was unloaded\n");
            return 1;
        }
        dlclose(still);
    }
    printf("%d rounds\n", ROUNDS);
    return 0;
}
