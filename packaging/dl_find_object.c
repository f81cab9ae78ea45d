/* gcc's unwinder asks glibc which object holds an address. musl has no such call, so it is answered here. */
#define _GNU_SOURCE
#include <link.h>
#include <pthread.h>

/* The unwinder names these weakly. With one of them alone in a static link it calls a null pointer. */
__attribute__((used)) static void *const keep[] = {
    (void *)pthread_once, (void *)pthread_key_create, (void *)pthread_getspecific,
    (void *)pthread_setspecific, (void *)pthread_mutex_lock, (void *)pthread_mutex_unlock,
};

/* glibc's struct dl_find_object. */
struct found {
    unsigned long long flags;
    void *start, *end, *link_map, *eh_frame;
    unsigned long long reserved[7];
};

struct question {
    ElfW(Addr) address;
    struct found *answer;
    int answered;
};

static int look(struct dl_phdr_info *object, size_t size, void *given) {
    struct question *question = given;
    const ElfW(Phdr) *eh_frame = 0, *segment = 0;
    (void)size;
    for (int i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &object->dlpi_phdr[i];
        if (header->p_type == PT_GNU_EH_FRAME)
            eh_frame = header;
        if (header->p_type == PT_LOAD &&
            question->address - (object->dlpi_addr + header->p_vaddr) < header->p_memsz)
            segment = header;
    }
    if (!eh_frame || !segment)
        return 0;
    question->answer->flags = 0;
    question->answer->link_map = 0;
    question->answer->start = (void *)(object->dlpi_addr + segment->p_vaddr);
    question->answer->end = (void *)(object->dlpi_addr + segment->p_vaddr + segment->p_memsz);
    question->answer->eh_frame = (void *)(object->dlpi_addr + eh_frame->p_vaddr);
    return question->answered = 1;
}

int _dl_find_object(void *address, struct found *answer) {
    struct question question = { (ElfW(Addr))address, answer, 0 };
    dl_iterate_phdr(look, &question);
    return question.answered ? 0 : -1;
}
