/* setuptools builds Python modules, and some linkers want a module's entry point. Nothing imports
 * this one: ctypes loads the library, so that no header of Python is needed to build it. */
void *PyInit__native(void);

void *PyInit__native(void) {
    return (void *)0;
}
