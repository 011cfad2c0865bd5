/* An empty Python module: it makes setuptools build and install the library that ctypes loads. */
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

static struct PyModuleDef MODULE = {PyModuleDef_HEAD_INIT, "_native", NULL, -1, NULL,
                                    NULL,                  NULL,      NULL, NULL};

PyMODINIT_FUNC PyInit__native(void) {
    return PyModule_Create(&MODULE);
}
